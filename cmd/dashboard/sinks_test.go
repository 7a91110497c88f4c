package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"patronus.internal/dashboard/security/securitytest"
)

// hook is a receiver of webhooks in the test's process.
type hook struct {
	mu      sync.Mutex
	away    bool
	asked   int
	batches []signedBatch
	news    chan struct{} // something was received, or refused
}

type signedBatch struct {
	signed    string // id, time and body
	signature string
	events    []hookEvent
}

type hookEvent struct {
	ID        int64  `json:"id"`
	EventType string `json:"event_type"`
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case h.news <- struct{}{}:
	default:
	}
	h.asked++
	body, err := io.ReadAll(r.Body)
	var batch struct{ Events []hookEvent }
	if h.away || err != nil || json.Unmarshal(body, &batch) != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	h.batches = append(h.batches, signedBatch{
		signed:    r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "." + string(body),
		signature: r.Header.Get("webhook-signature"), events: batch.Events})
}

// wait waits until something is so of what was received.
func (h *hook) wait(ts *testscript.TestScript, what string, is func() bool) {
	limit := time.After(20 * time.Second) // for a failure
	for {
		h.mu.Lock()
		done := is()
		h.mu.Unlock()
		if done {
			return
		}
		select {
		case <-h.news:
		case <-limit:
			ts.Fatalf("waited in vain: %s", what)
		}
	}
}

// cmdHook: "hook start" starts a receiver with HTTPS, whose certificate is in
// hook.pem, and sets $HOOK; "hook away" lets it refuse and "hook back" take
// again; "hook refused" waits until it has refused something.
func cmdHook(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value("server").(*server)
	switch args[0] {
	case "start":
		s.hook = &hook{news: make(chan struct{}, 1)}
		listening := httptest.NewTLSServer(s.hook)
		ts.Defer(listening.Close)
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: listening.Certificate().Raw})
		ts.Check(os.WriteFile(ts.MkAbs("hook.pem"), ca, 0o600))
		ts.Setenv("HOOK", listening.URL)
	case "away", "back":
		s.hook.mu.Lock()
		defer s.hook.mu.Unlock()
		s.hook.away, s.hook.asked = args[0] == "away", 0
	case "refused":
		s.hook.wait(ts, "a batch is refused", func() bool { return s.hook.away && s.hook.asked > 0 })
	}
}

// cmdPushed waits until all events from FIRST to LAST have come, each in a batch
// that is signed with SECRET, and prints "number type" of each once. None may
// have come before FIRST.
func cmdPushed(ts *testscript.TestScript, _ bool, args []string) {
	var first, last int64
	_, err := fmt.Sscan(args[0]+" "+args[1], &first, &last)
	ts.Check(err)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(args[2], "whsec_"))
	ts.Check(err)
	h := ts.Value("server").(*server).hook
	types := make(map[int64]string)
	h.wait(ts, "all events come", func() bool {
		for _, b := range h.batches {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(b.signed))
			if b.signature != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
				ts.Fatalf("the signature of %s does not fit", b.signed)
			}
			for _, e := range b.events {
				if e.ID < first {
					ts.Fatalf("event %d has come", e.ID)
				}
				types[e.ID] = e.EventType
			}
		}
		return types[last] != "" && int64(len(types)) >= last-first+1
	})
	for seq := first; seq <= last; seq++ {
		_, err = fmt.Fprintln(ts.Stdout(), seq, types[seq])
		ts.Check(err)
	}
}

// TestSyslogByItsSettings: the program's own start to a real rsyslogd, over TLS,
// with a certificate that only --sink-ca vouches for.
func TestSyslogByItsSettings(t *testing.T) {
	r := securitytest.StartRsyslog(t)
	ctx, cancel := context.WithCancel(context.Background())
	app, err := NewApp(ctx, &Settings{Listen: "127.0.0.1:0", DataDir: filepath.Join(t.TempDir(), "data"), SyslogURL: "tls://" + r.TLS,
		SinkCA: r.CAFile, AllowPrivateSinks: true, LogLevel: "error", LogFormat: "text"}, streams{out: io.Discard, err: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	securitytest.Eventually(t, "the start is told", func() bool {
		lines := r.Lines(t)
		return len(lines) > 0 && strings.Contains(lines[0], ` patronus - system_start [meta sequenceId="1"] {"id":1,`)
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
