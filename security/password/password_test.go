package password

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

var cheap = Params{Memory: 8, Iterations: 1, Parallelism: 1}

func text(s string) secret.Text { return secret.NewText(s) }

func TestHashAndVerify(t *testing.T) {
	ctx := context.Background()
	h := NewHasher(Options{Params: cheap})
	encoded, err := h.Hash(ctx, text("right"))
	if err != nil || !strings.HasPrefix(encoded, "$argon2id$v=19$m=8,t=1,p=1$") {
		t.Fatalf("%q, %v", encoded, err)
	}
	if again, err := h.Hash(ctx, text("right")); err != nil || again == encoded {
		t.Errorf("two hashes have one salt, %v", err)
	}
	for pw, want := range map[string]bool{"right": true, "wrong": false, "": false, "right ": false} {
		if ok, rehash, err := h.Verify(ctx, text(pw), encoded); ok != want || rehash || err != nil {
			t.Errorf("%q: %t, %t, %v", pw, ok, rehash, err)
		}
	}
	stronger := NewHasher(Options{Params: Params{Memory: 16, Iterations: 1, Parallelism: 1}})
	if ok, rehash, err := stronger.Verify(ctx, text("right"), encoded); !ok || !rehash || err != nil {
		t.Errorf("an older hash: %t, %t, %v", ok, rehash, err)
	}
}

func TestDefaultIsTheContracts(t *testing.T) {
	encoded, err := NewHasher(Options{}).Hash(context.Background(), text("x"))
	if err != nil || !strings.HasPrefix(encoded, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%q, %v", encoded, err)
	}
}

// TestTamperedHashes: a row that asks for gigabytes, for less than a hash, or
// is no hash, costs no work.
func TestTamperedHashes(t *testing.T) {
	h := NewHasher(Options{Params: cheap})
	const rest = "$c2FsdHNhbHRzYWx0c2FsdA$a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U"
	for _, encoded := range []string{"", "x", "$argon2id$v=19$m=4194304,t=1,p=1" + rest, "$argon2id$v=19$m=8,t=100000,p=1" + rest, "$argon2i$v=19$m=8,t=1,p=1" + rest, "$argon2id$v=18$m=8,t=1,p=1" + rest,
		"$argon2id$v=19$m=8,t=0,p=1" + rest, "$argon2id$v=19$m=8,t=1,p=0" + rest, "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$", "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$YQ",
		"$argon2id$v=19$m=8,t=1,p=1$$a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U"} {
		if ok, _, err := h.Verify(context.Background(), text("x"), encoded); ok || err == nil {
			t.Errorf("%q is taken", encoded)
		}
	}
	if h.Hashes() != 0 {
		t.Errorf("%d hashes were computed", h.Hashes())
	}
}

func TestDummyDoesTheWorkOfOne(t *testing.T) {
	h := NewHasher(Options{Params: cheap})
	for n := range int64(3) {
		if err := h.VerifyDummy(context.Background(), text("x")); err != nil || h.Hashes() != n+1 {
			t.Errorf("%d hashes, %v", h.Hashes(), err)
		}
	}
	if params, _, _, err := argon2id.DecodeHash(h.dummy); err != nil || *params != *h.params {
		t.Errorf("its work is %+v, not %+v (%v)", params, h.params, err)
	}
}

// occupy fills every slot until release is called.
func occupy(h *Hasher) (release func()) {
	for range cap(h.slots) {
		h.slots <- struct{}{}
	}
	return func() {
		for range cap(h.slots) {
			<-h.slots
		}
	}
}

// TestPoolIsBounded: with every slot taken, as many wait as may, the next is
// told at once when to come back, and who waits is served in the end.
func TestPoolIsBounded(t *testing.T) {
	h := NewHasher(Options{Params: cheap, Slots: 2, Queue: 5})
	release := occupy(h)
	errs := make(chan error, 5)
	for range 5 {
		go func() {
			_, err := h.Hash(context.Background(), text("x"))
			errs <- err
		}()
	}
	for h.waiting.Load() < 5 {
		runtime.Gosched() // They are on their way into the queue.
	}
	_, err := h.Hash(context.Background(), text("x"))
	if refusal, ok := errors.AsType[*secerr.Error](err); !ok || refusal.Code != secerr.Unavailable || refusal.RetryAfter < time.Second {
		t.Errorf("the sixth got %v", err)
	}
	if h.Hashes() != 0 {
		t.Errorf("%d hashes ran without a slot", h.Hashes())
	}
	release()
	for range 5 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if h.Hashes() != 5 || h.waiting.Load() != 0 {
		t.Errorf("%d hashes, %d wait", h.Hashes(), h.waiting.Load())
	}
}

// TestNeverMoreThanSlots: as many run at once as there are slots, and the next
// only when one of them is done.
func TestNeverMoreThanSlots(t *testing.T) {
	const slots, callers = 3, 30
	h := NewHasher(Options{Params: cheap, Slots: slots, Queue: callers})
	var running, most atomic.Int64
	started, finish := make(chan struct{}, callers), make(chan struct{})
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			if err := h.slot(context.Background(), func() error {
				n := running.Add(1)
				defer running.Add(-1)
				for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
				}
				started <- struct{}{}
				<-finish
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	for range slots {
		<-started
	}
	for h.waiting.Load() < callers-slots {
		runtime.Gosched() // The others are on their way into the queue.
	}
	for range callers - slots {
		finish <- struct{}{}
		<-started
	}
	for range slots {
		finish <- struct{}{}
	}
	wg.Wait()
	if most.Load() != slots || h.Hashes() != callers {
		t.Errorf("%d ran at once in %d slots, %d in all", most.Load(), slots, h.Hashes())
	}
}

func TestWhoIsGoneCostsNothing(t *testing.T) {
	h := NewHasher(Options{Params: cheap})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Hash(ctx, text("x")); !errors.Is(err, context.Canceled) || h.Hashes() != 0 || len(h.slots) != 0 {
		t.Errorf("%v, %d hashes, %d slots are taken", err, h.Hashes(), len(h.slots))
	}
}

func TestRetryAfterGrowsWithTheQueue(t *testing.T) {
	for _, c := range []struct {
		slots, queue int
		want         time.Duration
	}{{1, 1, time.Second}, {8, 8, time.Second}, {1, 64, 4 * time.Second}, {4, 64, time.Second}, {1, 1000, 51 * time.Second}} {
		if got := NewHasher(Options{Params: cheap, Slots: c.slots, Queue: c.queue}).retryAfter(); got != c.want {
			t.Errorf("%d slots and %d waiting: %s, want %s", c.slots, c.queue, got, c.want)
		}
	}
}

func TestWhoLeavesTheQueueCostsNothing(t *testing.T) {
	h := NewHasher(Options{Params: cheap, Slots: 1})
	release := occupy(h)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := h.Hash(ctx, text("x"))
		done <- err
	}()
	for h.waiting.Load() < 1 {
		runtime.Gosched() // It is on its way into the queue.
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || h.waiting.Load() != 0 || h.Hashes() != 0 {
		t.Errorf("%v, %d wait, %d hashes", err, h.waiting.Load(), h.Hashes())
	}
	release()
}

func TestManyAtOnce(t *testing.T) {
	h := NewHasher(Options{Params: cheap, Slots: 3, Queue: 100})
	encoded, err := h.Hash(context.Background(), text("right"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			pw := fmt.Sprintf("wrong %d", i)
			if i%2 == 0 {
				pw = "right"
			}
			if ok, _, err := h.Verify(context.Background(), text(pw), encoded); err != nil || ok != (i%2 == 0) {
				t.Errorf("%s: %t, %v", pw, ok, err)
			}
		})
	}
	wg.Wait()
}

func TestNormalize(t *testing.T) {
	for raw, want := range map[string]string{
		"correct horse": "correct horse", "  kept as typed  ": "  kept as typed  ", "Ａ": "Ａ",
		"e\u0301":  "\u00e9", // NFC
		"a\u3000b": "a b",    // another space becomes the usual one
		"Ångström": "Ångström", "🐎🔋": "🐎🔋", strings.Repeat("é", 128): strings.Repeat("é", 128),
	} {
		if got, err := Normalize(text(raw)); err != nil || got.Reveal() != want {
			t.Errorf("%q becomes %q, want %q (%v)", raw, got.Reveal(), want, err)
		}
	}
	for _, bad := range []string{"", "a\x00b", "a\nb", "a\x7f", "a\xffb", strings.Repeat("a", 129), strings.Repeat("a", 1<<20), "a\u202e"} {
		if _, err := Normalize(text(bad)); !secerr.Is(err, secerr.ValidationFailed) {
			t.Errorf("%.20q is taken: %v", bad, err)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, seed := range []string{"correct horse", "e\u0301", "\u3000", "\x00", "\u1100\u1161"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		once, err := Normalize(text(raw))
		if err != nil {
			return
		}
		twice, err := Normalize(once)
		if err != nil || twice != once || !utf8.ValidString(once.Reveal()) || strings.ContainsRune(once.Reveal(), 0) {
			t.Errorf("%q becomes %q and then %q (%v)", raw, once.Reveal(), twice.Reveal(), err)
		}
	})
}

func TestCheck(t *testing.T) {
	rules := Rules{MinLength: 12, MinScore: 3, Email: "ann.miller@bakery.example.org", Product: "patronus"}
	strict := rules
	strict.RequireClasses = true
	lenient := Rules{MinLength: 8}
	for _, c := range []struct {
		pw    string
		rules Rules
		want  string // codes
	}{
		{"plover kettle armistice", rules, ""},
		{"Zaq!mK9#pw2v", rules, ""},
		{"short", rules, "too_short"},
		{"éééééééééééé", rules, "guessable"}, // code points are counted, not bytes
		{"éééééééééé", rules, "too_short"},
		{"1qaz2wsx3edc", rules, "common"},
		{"1QAZ2wsx3EDC", rules, "common"},
		{"zazazazazazazaza", rules, "guessable"},
		{"bcdefghijklmnopqr", rules, "guessable"},
		{"ann.miller@bakery.example.org", rules, "context"},
		{"Patronus-xk2vq", rules, "context"},
		{"miller bakery xk2vq9", rules, "context"},
		{"miller plover kettle armistice", rules, ""},
		{"m1ller plover kettle armistice", rules, ""},
		{"millerbakerypatronusqwertyuiop12", rules, "common"}, // what is left is
		{"Patronus 1qaz2wsx3edc Miller", rules, "common"},
		{"annmillerabcdefabcdef", rules, "guessable"},
		{"P4tr0nusB4k3ryM1ll3r", rules, "context"},
		{"p@tronus-m1ller-b@kery", rules, "context"},
		{"patrpatronusonus-xk2vq", rules, "context"},
		{"letmein1", lenient, "common"},                                                  // shorter than any in the list
		{strings.Repeat("a", estimated) + "plover kettle armistice", rules, "guessable"}, // the rest is not looked at
		{"plover kettle armistice", strict, "classes"},
		{"Plover kettle armistice 9!", strict, ""},
	} {
		var codes []string
		for _, r := range Check(text(c.pw), c.rules) {
			codes = append(codes, r.Code)
			if r.Detail == "" || strings.Contains(r.Detail, c.pw) {
				t.Errorf("%q: the sentence is %q", c.pw, r.Detail)
			}
		}
		if got := strings.Join(codes, " "); got != c.want {
			t.Errorf("%q is refused for %q, want %q", c.pw, got, c.want)
		}
	}
}

// BenchmarkCheckLongest is the longest password there may be, made of what
// costs the most: the estimate of zxcvbn grows with the matches that it
// finds.
func BenchmarkCheckLongest(b *testing.B) {
	worst := text(strings.Repeat("4@8({[</369&#!1/|0$5+7%2", 6)[:128])
	for b.Loop() {
		Check(worst, Rules{MinLength: 12, MinScore: 3, Email: "a@example.org", Product: "patronus"})
	}
}

func TestCommonListIsWhole(t *testing.T) {
	if n := len(common()); n < 44_000 {
		t.Errorf("%d common passwords", n)
	}
	for pw, want := range map[string]bool{"q1w2e3r4t5y6": true, "Q1W2E3R4T5Y6": true, "plover kettle armistice": false} {
		if isCommon(pw) != want {
			t.Errorf("%q", pw)
		}
	}
}

// BenchmarkHash is the cost of one sign-in.
func BenchmarkHash(b *testing.B) {
	h := NewHasher(Options{})
	for b.Loop() {
		if _, err := h.Hash(context.Background(), text("plover kettle armistice")); err != nil {
			b.Fatal(err)
		}
	}
}
