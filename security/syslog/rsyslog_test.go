package syslog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/outbound"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/syslog"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)

// event is one with what an attacker would put into it.
func event(t *testing.T, seq int64) audit.Message {
	t.Helper()
	m, err := audit.Record{Seq: seq, Time: at, Type: audit.LoginAttempt, Severity: audit.Warning,
		Actor:   audit.Actor{Email: "ann@example.org", UserAgent: hostile},
		Details: json.RawMessage("{\"reason\":\"raw\u2028\u202e\u009b end\"}")}.Message()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const hostile = "a\r\n<110>1 - - forged - - - x\n13 <110>1 x\x00\x1b[31m\u2028\u2029\u0085\u009b31m\u202eevil\x7f\"']\\ é… 🛡"

func dial(t *testing.T, url string, o syslog.Options) *syslog.Sender {
	t.Helper()
	settings, err := syslog.ParseSettings(url)
	if err != nil {
		t.Fatal(err)
	}
	o.Dialer, o.Hostname = outbound.Dialer(true), "dashboard.example.org"
	s := syslog.NewSender(settings, o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestRsyslogUnderstands: over each transport a real rsyslogd gets each event
// as one record, reads its header, and its text is the event's JSON, whatever
// stands in it.
func TestRsyslogUnderstands(t *testing.T) {
	r := securitytest.StartRsyslog(t)
	long := event(t, 4)
	long.JSON = []byte(`{"id":4,"details":"` + strings.Repeat("é", 9000) + `"}`)
	sent := []audit.Message{event(t, 1), event(t, 2), event(t, 3), long}
	for _, url := range []string{"udp://" + r.UDP, "tcp://" + r.TCP, "tls://" + r.TLS} {
		t.Run(url[:3], func(t *testing.T) {
			before := len(r.Lines(t))
			s := dial(t, url, syslog.Options{RootCAs: r.Roots})
			if n, err := s.Send(context.Background(), sent); err != nil || n != len(sent) {
				t.Fatalf("%d sent, %v", n, err)
			}
			securitytest.Eventually(t, "all have arrived", func() bool { return len(r.Lines(t)) >= before+len(sent) })
			lines := r.Lines(t)[before:]
			if len(lines) != len(sent) {
				t.Fatalf("%d messages became %d: %q", len(sent), len(lines), lines)
			}
			for i, line := range lines {
				head := fmt.Sprintf(`13 4 2026-01-02T03:04:05.678901Z dashboard.example.org patronus - login_attempt [meta sequenceId="%d"] `, i+1)
				text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), head)
				if !ok {
					t.Fatalf("%.300q does not begin with %q", line, head)
				}
				if got, want := value(t, []byte(text)), value(t, sent[i].JSON); !reflect.DeepEqual(got, want) {
					t.Errorf("%v became %v", want, got)
				}
			}
		})
	}
}

func value(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// TestOnlyItsReceiver: a certificate that nobody vouches for is refused before
// a word is said.
func TestOnlyItsReceiver(t *testing.T) {
	r := securitytest.StartRsyslog(t)
	s := dial(t, "tls://"+r.TLS, syslog.Options{})
	if _, err := s.Send(context.Background(), []audit.Message{event(t, 1)}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("the error is %v", err)
	}
	if lines := r.Lines(t); len(lines) != 0 {
		t.Errorf("it got %q", lines)
	}
}

// TestLossIsNoticed: while nothing is sent, Lost tells, once, that the receiver
// is gone, and the next Send finds it again.
func TestLossIsNoticed(t *testing.T) {
	r := securitytest.StartRsyslog(t)
	for i, url := range []string{"tcp://" + r.TCP, "tls://" + r.TLS, "udp://" + r.UDP} {
		s := dial(t, url, syslog.Options{RootCAs: r.Roots})
		before := len(r.Lines(t))
		send := func() error {
			_, err := s.Send(context.Background(), []audit.Message{event(t, int64(i+1))})
			return err
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		securitytest.Eventually(t, "it has arrived", func() bool { return len(r.Lines(t)) > before })
		if err := s.Lost(); err != nil {
			t.Errorf("%s: lost while the receiver is there: %v", url, err)
		}
		r.Kill(t)
		// Nobody answers a datagram: it takes one to learn that it is in vain.
		if strings.HasPrefix(url, "udp") {
			_ = send()
		}
		securitytest.Eventually(t, "the loss is noticed", func() bool { return s.Lost() != nil })
		if err := s.Lost(); err != nil {
			t.Errorf("%s: it is told twice: %v", url, err)
		}
		if err := send(); err == nil && !strings.HasPrefix(url, "udp") {
			t.Errorf("%s: sent to nobody", url)
		}
		r.Start(t)
		_ = s.Lost() // of the datagram that went to nobody
		securitytest.Eventually(t, "it is sent again", func() bool { return send() == nil && len(r.Lines(t)) > before+1 })
	}
}
