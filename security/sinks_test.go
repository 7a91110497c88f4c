package security_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/securitytest"
)

// catcher is a sink that does what the test wants.
type catcher struct {
	kind, id string
	confirms bool

	mu     sync.Mutex
	refuse error
	lost   error
	take   int // of each batch, with an error for the rest; 0: all
	got    []int64
	heads  []string // checkpoints
	closed int
	block  chan struct{} // Send waits for its context and says here that it does
}

func (c *catcher) Kind() string   { return c.kind }
func (c *catcher) ID() string     { return c.id }
func (c *catcher) String() string { return c.kind + "://" + c.id }
func (c *catcher) Confirms() bool { return c.confirms }

func (c *catcher) Send(ctx context.Context, messages []audit.Message) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.block != nil {
		close(c.block)
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if c.refuse != nil {
		return 0, c.refuse
	}
	n := len(messages)
	if c.take > 0 {
		n = min(n, c.take)
	}
	for _, m := range messages[:n] {
		if m.Type == audit.CheckpointMessage {
			c.heads = append(c.heads, string(m.JSON))
			continue
		}
		var view audit.View
		if err := json.Unmarshal(m.JSON, &view); err != nil || view.ID != m.Seq || view.EventType != m.Type || m.Time.IsZero() {
			return 0, fmt.Errorf("%s is not event %d (%v)", m.JSON, m.Seq, err)
		}
		c.got = append(c.got, m.Seq)
	}
	if n < len(messages) {
		return n, errors.New("the rest is too much")
	}
	return n, nil
}

func (c *catcher) Lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost := c.lost
	c.lost = nil
	return lost
}

func (c *catcher) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

// took returns what came since the last time, as "1-3 2-5" where each stretch is
// without gaps.
func (c *catcher) took() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var stretches []string
	for len(c.got) > 0 {
		n := 1
		for n < len(c.got) && c.got[n] == c.got[n-1]+1 {
			n++
		}
		stretches = append(stretches, fmt.Sprintf("%d-%d", c.got[0], c.got[n-1]))
		c.got = c.got[n:]
	}
	return strings.Join(stretches, " ")
}

// pushing is a service with a sink.
type pushing struct {
	*security.Service
	clock *securitytest.Clock
	dir   string
	log   *bytes.Buffer
}

func openPushing(t *testing.T) *pushing {
	t.Helper()
	p := &pushing{clock: securitytest.NewClock(), dir: filepath.Join(t.TempDir(), "data")}
	p.reopen(t)
	return p
}

// reopen is a restart after the program was killed, as far as a sink can tell.
func (p *pushing) reopen(t *testing.T, sinks ...security.Sink) {
	t.Helper()
	p.log = &bytes.Buffer{}
	service, err := security.Open(context.Background(), security.Options{DataDir: p.dir, PublicURL: &url.URL{Scheme: "http", Host: "localhost"},
		Hashing: securitytest.CheapHashing, Now: p.clock.Now, Log: slog.New(slog.NewTextHandler(p.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, sink := range sinks {
		if err := service.AddSink(context.Background(), sink); err != nil {
			t.Fatal(err)
		}
	}
	p.Service = service
}

// happen writes n events.
func (p *pushing) happen(t *testing.T, n int) {
	t.Helper()
	for range n {
		if err := p.Started(context.Background(), "test"); err != nil {
			t.Fatal(err)
		}
	}
}

// push makes an attempt, which fails or not, and compares what came.
func (p *pushing) push(t *testing.T, c *catcher, fails bool, want string) {
	t.Helper()
	if err := p.PushOnce(context.Background()); (err != nil) != fails {
		t.Errorf("the attempt: %v", err)
	}
	if got := c.took(); got != want {
		t.Errorf("the sink got %q, want %q", got, want)
	}
}

// TestSinkBeginsWithNowAndGoesOn: from the moment in which it is first named, over
// restarts, also when it is away from the beginning.
func TestSinkBeginsWithNowAndGoesOn(t *testing.T) {
	p := openPushing(t)
	p.happen(t, 3)
	c := &catcher{kind: "webhook", id: "a", confirms: true, refuse: errors.New("away")}
	p.reopen(t, c)
	p.happen(t, 250)
	p.push(t, c, true, "")
	p.reopen(t, c)
	c.refuse = nil
	p.push(t, c, false, "4-253")
	p.push(t, c, false, "")
	p.happen(t, 1)
	p.push(t, c, false, "254-254")
	p.clock.Advance(time.Second)
	p.happen(t, 1)
	p.push(t, c, false, "255-255")
	p.reopen(t, c)
	p.push(t, c, false, "")
}

// TestAnotherAddressGoesOn: a receiver that moves during an outage loses nothing,
// and one that comes back gets what it missed.
func TestAnotherAddressGoesOn(t *testing.T) {
	p := openPushing(t)
	a := &catcher{kind: "webhook", id: "a", confirms: true}
	p.reopen(t, a)
	p.happen(t, 2)
	p.push(t, a, false, "1-2")
	p.happen(t, 2) // of which a gets nothing
	b, other := &catcher{kind: "webhook", id: "b", confirms: true}, &catcher{kind: "syslog", id: "a", confirms: true}
	p.clock.Advance(time.Minute)
	p.reopen(t, b, other)
	p.happen(t, 1)
	p.push(t, b, false, "3-5")
	if got := other.took(); got != "5-5" {
		t.Errorf("the first sink of another kind got %q", got)
	}
	p.reopen(t, a)
	p.push(t, a, false, "3-5")
}

// TestOutage: everything comes afterwards, in order; meanwhile there is one line
// in the program's log for the outage, one for a sink that is behind and one when
// it has caught up, and no event.
func TestOutage(t *testing.T) {
	for _, confirms := range []bool{true, false} {
		p := openPushing(t)
		c := &catcher{kind: "webhook", id: "a", confirms: confirms, refuse: errors.New("away")}
		p.reopen(t, c)
		p.happen(t, 120)
		for range 40 {
			p.clock.Advance(10 * time.Second)
			p.push(t, c, true, "")
		}
		lag, err := p.SinkLag(context.Background())
		if err != nil || len(lag) != 1 || lag[0] != (security.SinkLag{Kind: "webhook", Sink: "webhook://a", Events: 120, Age: 400 * time.Second, Err: c.refuse}) {
			t.Errorf("lag: %+v, %v", lag, err)
		}
		c.refuse = nil
		p.push(t, c, false, "1-120")
		for range 2 { // until even what is not confirmed has arrived
			p.clock.Advance(2 * time.Minute)
			p.push(t, c, false, "")
		}
		lag, err = p.SinkLag(context.Background())
		if err != nil || lag[0] != (security.SinkLag{Kind: "webhook", Sink: "webhook://a"}) {
			t.Errorf("lag afterwards: %+v, %v", lag, err)
		}
		for text, want := range map[string]int{"level=WARN": 2, "level=INFO": 1, "fails and is tried again\" sink=webhook://a error=away": 1,
			"is behind\" sink=webhook://a events=120 seconds=70 error=away": 1, "has caught up": 1} {
			if got := strings.Count(p.log.String(), text); got != want {
				t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, p.log)
			}
		}
	}
}

// TestLastMinuteIsSentAgain: without confirmation, when the connection breaks and
// after a restart; what was sent before is not.
func TestLastMinuteIsSentAgain(t *testing.T) {
	p := openPushing(t)
	c := &catcher{kind: "syslog", id: "a"}
	p.reopen(t, c)
	p.happen(t, 2)
	p.push(t, c, false, "1-2")
	p.clock.Advance(30 * time.Second)
	p.happen(t, 2)
	p.push(t, c, false, "3-4")
	c.lost = errors.New("broken")
	p.push(t, c, true, "")
	p.push(t, c, false, "1-4")
	p.clock.Advance(time.Minute) // and not a second more
	p.push(t, c, false, "")
	p.reopen(t, c) // killed
	p.push(t, c, false, "1-4")
	p.clock.Advance(61 * time.Second)
	p.happen(t, 1)
	p.push(t, c, false, "5-5")
	c.refuse = errors.New("broken while sending")
	p.happen(t, 1)
	p.push(t, c, true, "")
	c.refuse = nil
	p.push(t, c, false, "5-6")
	p.reopen(t, c)
	p.push(t, c, false, "5-6")
	// A connection that ends when nothing is under way is no failure.
	p.clock.Advance(61 * time.Second)
	p.push(t, c, false, "")
	c.lost = errors.New("closed after a quiet hour")
	p.push(t, c, false, "")
	p.reopen(t, c)
	p.push(t, c, false, "")
}

// TestPartOfABatch: what the receiver has confirmed of it does not come again.
func TestPartOfABatch(t *testing.T) {
	p := openPushing(t)
	c := &catcher{kind: "webhook", id: "a", confirms: true, take: 30}
	p.reopen(t, c)
	p.happen(t, 100)
	for _, want := range []string{"1-30", "31-60", "61-90"} {
		p.push(t, c, true, want)
	}
	p.push(t, c, false, "91-100")
}

// TestCursorIsStoredOnceASecond, and at the end of the program.
func TestCursorIsStoredOnceASecond(t *testing.T) {
	p := openPushing(t)
	c := &catcher{kind: "webhook", id: "a", confirms: true}
	p.reopen(t, c)
	p.happen(t, 150) // two batches, of which the first is stored
	p.push(t, c, false, "1-150")
	was := p.Service
	p.reopen(t, c)
	p.push(t, c, false, "101-150")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	was.Push(ended)
	p.reopen(t, c)
	p.push(t, c, false, "")
	// One that knows less does not take it back.
	p.happen(t, 1)
	p.clock.Advance(time.Minute)
	p.push(t, c, false, "151-151")
	was.Push(ended)
	p.reopen(t, c)
	p.push(t, c, false, "")
}

// TestPushWakesAndEnds: it sends what happens without being asked, to one sink
// while another stands still, and ends with its context.
func TestPushWakesAndEnds(t *testing.T) {
	p := openPushing(t)
	stuck, free := &catcher{kind: "syslog", id: "a", block: make(chan struct{})}, &catcher{kind: "webhook", id: "a", confirms: true}
	p.reopen(t, stuck, free)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		p.Push(ctx)
		close(ended)
	}()
	p.happen(t, 3)
	<-stuck.block
	var got []string
	securitytest.Eventually(t, "all have come", func() bool {
		if took := free.took(); took != "" {
			got = append(got, took)
		}
		return len(got) > 0 && strings.HasSuffix(got[len(got)-1], "-3")
	})
	cancel()
	<-ended
	if free.closed != 1 || stuck.closed != 1 {
		t.Error("a sink was not closed")
	}
	if slices.Contains(strings.Fields(p.log.String()), "level=WARN") {
		t.Errorf("the end is logged as a failure:\n%s", p.log)
	}
	p.reopen(t, free)
	p.push(t, free, false, "")
}
