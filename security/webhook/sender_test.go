package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/outbound"
	"patronus.internal/dashboard/security/secret"
)

var (
	now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	key = []byte("0123456789abcdef0123456789abcdef")
)

// receiver is an HTTPS server that keeps the batches whose signature is right.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	answer  func(w http.ResponseWriter, r *http.Request) // nil: 204
	asked   int
	batches [][]audit.View
	ids     []string
}

func receive(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.StartTLS()
	t.Cleanup(r.Close)
	return r
}

func (s *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.answer != nil {
		s.answer(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	id, sent := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, sent, body)
	var batch struct {
		Events []audit.View `json:"events"`
	}
	switch {
	case err != nil, r.Method != http.MethodPost, r.URL.RequestURI() != "/hook/t0ken?a=b", r.Header.Get("Content-Type") != "application/json",
		sent != strconv.FormatInt(now.Unix(), 10), len(body) > maxBytes,
		r.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)),
		json.Unmarshal(body, &batch) != nil:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.batches, s.ids = append(s.batches, batch.Events), append(s.ids, id)
	w.WriteHeader(http.StatusNoContent)
}

func (s *receiver) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

func sender(t *testing.T, to string, private bool, roots *x509.CertPool) *Sender {
	t.Helper()
	settings, err := ParseSettings(to+"/hook/t0ken?a=b", true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSender(settings, Options{Dialer: outbound.Dialer(private), Secret: NewSecret(key), RootCAs: roots, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func events(t *testing.T, n, length int) (list []audit.Message) {
	t.Helper()
	for seq := range n {
		m, err := audit.Record{Seq: int64(seq + 1), Time: now, Type: audit.Logout, Severity: audit.Info,
			Details: json.RawMessage(`{"x":"` + strings.Repeat("é", length/2) + `"}`)}.Message()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}

// TestSignature is the example in the reference libraries of Standard Webhooks.
func TestSignature(t *testing.T) {
	key, err := keyOf(secret.NewText("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	if err != nil {
		t.Fatal(err)
	}
	if got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("the signature is %s", got)
	}
}

// TestBatches: in order, signed, and cut at a number of messages and of bytes.
func TestBatches(t *testing.T) {
	for _, c := range []struct {
		name            string
		messages, bytes int
		batches         []int
	}{
		{"one", 1, 10, []int{1}},
		{"as many as fit", 100, 10, []int{100}},
		{"one more", 101, 10, []int{100, 1}},
		{"long ones", 70, 8 << 10, []int{62, 8}},
		{"one that is too long by itself", 1, 600 << 10, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := receive(t)
			s := sender(t, r.URL, true, r.roots())
			list := events(t, c.messages, c.bytes)
			n, err := s.Send(context.Background(), list)
			if c.batches == nil { // it is sent; this receiver takes none of its size
				if n != 0 || err == nil || r.asked != 1 {
					t.Errorf("%d taken, %d requests, %v", n, r.asked, err)
				}
				return
			}
			if err != nil || n != c.messages {
				t.Fatalf("%d taken, %v", n, err)
			}
			var sizes []int
			var next int64 = 1
			for _, batch := range r.batches {
				sizes = append(sizes, len(batch))
				for _, e := range batch {
					if e.ID != next {
						t.Fatalf("%d where %d should be", e.ID, next)
					}
					next++
				}
			}
			if fmt.Sprint(sizes) != fmt.Sprint(c.batches) {
				t.Errorf("batches of %v, want %v", sizes, c.batches)
			}
		})
	}
}

// TestTheSameBatchHasTheSameID, so that a receiver can tell it from another.
func TestTheSameBatchHasTheSameID(t *testing.T) {
	r := receive(t)
	s := sender(t, r.URL, true, r.roots())
	list := events(t, 3, 10)
	for _, sent := range [][]audit.Message{list, list, list[:2]} {
		if _, err := s.Send(context.Background(), sent); err != nil {
			t.Fatal(err)
		}
	}
	if r.ids[0] != r.ids[1] || r.ids[1] == r.ids[2] || !strings.HasPrefix(r.ids[0], "msg_") || strings.Contains(r.ids[0], ".") {
		t.Errorf("ids: %q", r.ids)
	}
}

// TestWhatIsNoConfirmation: an error, which holds nothing of the URL, says how
// much was taken before it.
func TestWhatIsNoConfirmation(t *testing.T) {
	r := receive(t)
	var elsewhere int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	s := sender(t, r.URL, true, r.roots())
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"404": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"malformed HTTP":    func(w http.ResponseWriter, r *http.Request) { hijack(w, r, "nonsense\r\n\r\n") },
		"EOF":               func(w http.ResponseWriter, r *http.Request) { hijack(w, r, "") },
		"exceeded 16384":    func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 20<<10)) },
		"answers 300":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(300) },
		"answers 304":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) },
		"answers 429":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
		"413, a long story": nil,
	} {
		r.answer = answer
		want := 0
		if answer == nil { // of two batches, the second
			want, name = 100, "413"
			r.answer = func(w http.ResponseWriter, _ *http.Request) {
				r.answer = func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(413)
					_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", 1<<20)))
				}
			}
		}
		n, err := s.Send(context.Background(), events(t, 150, 10))
		if err == nil || n != want || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "t0ken") {
			t.Errorf("%s: %d taken, %v", name, n, err)
		}
	}
	if elsewhere != 0 {
		t.Error("a redirect was followed")
	}
}

func hijack(w http.ResponseWriter, r *http.Request, text string) {
	_, _ = io.Copy(io.Discard, r.Body) // or the answer is lost with a reset
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

// TestWhereNothingIsSent: private addresses, whatever the name, and a server
// whose certificate nobody vouches for.
func TestWhereNothingIsSent(t *testing.T) {
	r := receive(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(r.URL, "https://"), ":")
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		n, err := sender(t, "https://"+host+":"+port, false, r.roots()).Send(context.Background(), events(t, 1, 10))
		if n != 0 || !errors.Is(err, outbound.ErrPrivate) && !errors.Is(err, outbound.ErrNoHost) {
			t.Errorf("%s: %d taken, %v", host, n, err)
		}
	}
	if _, err := sender(t, r.URL, true, nil).Send(context.Background(), events(t, 1, 10)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
	// A proxy would resolve the name itself.
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	if _, err := sender(t, r.URL, true, r.roots()).Send(context.Background(), events(t, 1, 10)); err != nil {
		t.Errorf("with a proxy in the environment: %v", err)
	}
	if r.asked != 1 {
		t.Errorf("%d requests", r.asked)
	}
}

// TestEndsWithItsContext, although the receiver says nothing.
func TestEndsWithItsContext(t *testing.T) {
	r := receive(t)
	ctx, cancel := context.WithCancel(context.Background())
	r.answer = func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body) // from then on the server sees who leaves
		cancel()
		<-request.Context().Done()
	}
	if n, err := sender(t, r.URL, true, r.roots()).Send(ctx, events(t, 1, 10)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d taken, %v", n, err)
	}
}

// TestCheckpointsGoByThemselves, beside an empty list, so that who reads events
// alone reads none.
func TestCheckpointsGoByThemselves(t *testing.T) {
	list := events(t, 2, 10)
	head := audit.Message{Seq: 2, Type: audit.CheckpointMessage, JSON: []byte(`{"size":2}`)}
	if body, n := batch([]audit.Message{head, list[0]}); n != 1 || string(body) != `{"events":[],"checkpoint":{"size":2}}` {
		t.Errorf("%d: %s", n, body)
	}
	if _, n := batch([]audit.Message{list[0], list[1], head}); n != 2 {
		t.Errorf("%d messages are in the batch of events", n)
	}
}
