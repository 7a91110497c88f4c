package secret

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

func TestNothingPrintsIt(t *testing.T) {
	const value = "hunter2-hunter2"
	holder := struct{ Password, inside Text }{NewText(value), NewText(value)}
	nested := struct{ a []any }{[]any{holder, &holder, map[string]Text{"x": holder.inside}}}
	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("x", "secret", holder.Password, "holder", holder, "pointer", &holder, "nested", nested)
	}
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(holder.Password, &holder.Password, holder, []Text{holder.Password}, map[Text]Text{holder.Password: holder.Password}),
		verbs(holder, holder.Password, nested),
		fmt.Errorf("failed: %v", holder).Error(), errors.Join(fmt.Errorf("%s", holder.Password)).Error(),
		logged.String(), string(encoded),
	} {
		for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
			if strings.Contains(text, form) {
				t.Errorf("it prints: %s", text)
			}
		}
	}
	if holder.Password.Reveal() != value {
		t.Error("Reveal does not")
	}
}

// TestWhatIsShownInstead: each way to print says that there is a secret, and
// each by itself, whether or not another would have hidden it too.
func TestWhatIsShownInstead(t *testing.T) {
	text := NewText("hunter2-hunter2")
	if rest := strings.TrimSpace(strings.NewReplacer(hidden, "", "*secret.Text", "", "secret.Text", "").Replace(verbs(text, &text, Text{}))); rest != "" {
		t.Errorf("a verb prints %q", rest)
	}
	if got := text.String(); got != hidden {
		t.Errorf("String is %q", got)
	}
	if got := slog.AnyValue(text).Resolve(); got.Kind() != slog.KindString || got.String() != hidden {
		t.Errorf("a log gets %s %v", got.Kind(), got)
	}
	encoded, err := json.Marshal(map[Text]Text{text: text})
	if err != nil || string(encoded) != `{"[hidden]":"[hidden]"}` {
		t.Errorf("JSON is %s, %v", encoded, err)
	}
}

func TestEqualValuesAreEqual(t *testing.T) {
	read := NewText("old")
	if err := read.UnmarshalText(nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		a, b Text
		want bool
	}{
		"same":  {NewText("a"), NewText(string([]byte("a"))), true},
		"other": {NewText("a"), NewText("A"), false},
		"empty": {NewText(""), Text{}, true},
		"read":  {read, Text{}, true},
		"none":  {Text{}, NewText("a"), false},
	} {
		if (c.a == c.b) != c.want {
			t.Errorf("%s: equal is %t", name, !c.want)
		}
	}
	if !read.Empty() || read.Reveal() != "" || NewText(" ").Empty() {
		t.Error("only the empty secret is empty")
	}
}

// TestHash is FIPS 180-4's example for "abc".
func TestHash(t *testing.T) {
	if got := fmt.Sprintf("%x", NewText("abc").Hash()); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(got)
	}
}

func TestReadFromJSON(t *testing.T) {
	var holder struct{ Password Text }
	if err := json.Unmarshal([]byte(`{"Password":"x"}`), &holder); err != nil || holder.Password.Reveal() != "x" {
		t.Errorf("%q, %v", holder.Password.Reveal(), err)
	}
}

func TestTokensAreFresh(t *testing.T) {
	const callers, each = 20, 500
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				token, err := NewToken(rand.Reader, "pk_")
				if err != nil || len(token.Reveal()) != 67 || !strings.HasPrefix(token.Reveal(), "pk_") {
					t.Errorf("%d characters, %v", len(token.Reveal()), err)
				}
				mu.Lock()
				seen[token.Reveal()] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != callers*each {
		t.Errorf("%d different tokens of %d", len(seen), callers*each)
	}
	if _, err := NewToken(strings.NewReader("short"), ""); err == nil {
		t.Error("a token of less than 256 bits is made")
	}
}

// verbs prints with every verb there is, sensible or not.
func verbs(values ...any) string {
	var all strings.Builder
	for _, value := range values {
		for _, verb := range "vsqxXdotTbcUefg" {
			for _, flags := range []string{"", "+", "#", " ", "0"} {
				all.WriteString(fmt.Sprintf("%"+flags+string(verb)+" ", value))
			}
		}
	}
	return all.String()
}
