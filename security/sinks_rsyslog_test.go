package security_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/outbound"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/syslog"
)

var record = regexp.MustCompile(`^13 ([246]) \S+ \S+ patronus - ([a-z_]+) \[meta sequenceId="(\d+)"\] (\{.*\})\n$`)

// arrived reads what an rsyslogd has written, which has to be events and nothing
// else, by their number.
func arrived(t *testing.T, r *securitytest.Rsyslog) map[int64]audit.View {
	t.Helper()
	events := make(map[int64]audit.View)
	for _, line := range r.Lines(t) {
		found := record.FindStringSubmatch(line)
		if found == nil {
			t.Fatalf("no record: %q", line)
		}
		var e audit.View
		if err := json.Unmarshal([]byte(found[4]), &e); err != nil {
			t.Fatalf("%q: %v", found[4], err)
		}
		level := map[audit.Severity]string{audit.Info: "6", audit.Warning: "4", audit.Critical: "2"}[e.Severity]
		if found[1] != level || found[2] != string(e.EventType) || found[3] != strconv.FormatInt(e.ID, 10) {
			t.Fatalf("the header of %q does not fit", line)
		}
		events[e.ID] = e
	}
	return events
}

// run pushes until the returned function is called.
func (p *pushing) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		p.Push(ctx)
		close(ended)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// TestRsyslogLosesNothing: an rsyslogd is killed in the middle and comes back,
// the program ends and starts again, and each event is there.
func TestRsyslogLosesNothing(t *testing.T) {
	r := securitytest.StartRsyslog(t)
	for _, url := range []string{"tcp://" + r.TCP, "tls://" + r.TLS} { // UDP loses what a buffer does not hold
		t.Run(url[:3], func(t *testing.T) {
			settings, err := syslog.ParseSettings(url)
			if err != nil {
				t.Fatal(err)
			}
			sink := func() security.Sink {
				return syslog.NewSender(settings, syslog.Options{Dialer: outbound.Dialer(true), RootCAs: r.Roots})
			}
			p := openPushing(t)
			p.reopen(t, sink())
			before := len(r.Lines(t))
			all := func(newest int64) {
				t.Helper()
				securitytest.Eventually(t, "all events have arrived", func() bool {
					got := make(map[int64]bool)
					for _, line := range r.Lines(t)[before:] {
						if found := record.FindStringSubmatch(line); found != nil {
							seq, _ := strconv.ParseInt(found[3], 10, 64)
							got[seq] = true
						}
					}
					return int64(len(got)) == newest && got[1] && got[newest]
				})
			}
			stop := p.run()
			p.happen(t, 150)
			all(150)
			p.happen(t, 50) // of which some are on their way
			r.Kill(t)
			p.happen(t, 150)
			r.Start(t)
			all(350)
			r.Kill(t)
			p.happen(t, 10)
			stop() // while the receiver is away
			p.reopen(t, sink())
			p.happen(t, 10)
			stop = p.run()
			defer func() { stop() }()
			r.Start(t)
			all(370)
			arrived(t, r)
		})
	}
}

// TestNothingIsForged: whatever a stranger says of themselves, it stays in the
// record that tells of them.
func TestNothingIsForged(t *testing.T) {
	r := securitytest.StartRsyslog(t)
	settings, err := syslog.ParseSettings("tcp://" + r.TCP)
	if err != nil {
		t.Fatal(err)
	}
	p := openPushing(t)
	p.reopen(t, syslog.NewSender(settings, syslog.Options{Dialer: outbound.Dialer(true)}))
	const hostile = "x\r\n<110>1 - - patronus - forged [meta sequenceId=\"1\"] {}\n87 <110>1 \u2028\u2029\u0085\x1b[2J\u202e\"\\\x00\xff'<script>"
	long := hostile
	for len(long) < 2000 {
		long += hostile
	}
	for _, agent := range []string{hostile, long} {
		if _, err := p.Login(context.Background(), security.Request{UserAgent: agent}, session.API, "nobody@example.org", secret.NewText("wrong")); err == nil {
			t.Fatal("signed in")
		}
	}
	var events []audit.Record
	err = p.ExportForHost(context.Background(), audit.Filter{}, "json", func(batch []audit.Record) error {
		events = append(events, batch...)
		return nil
	})
	if err != nil || len(events) != 2 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	stop := p.run()
	defer stop()
	securitytest.Eventually(t, "all events have arrived", func() bool { return len(r.Lines(t)) > len(events) }) // and that of the export
	got := arrived(t, r)
	if len(got) != len(events)+1 {
		t.Errorf("%d events became %d", len(events)+1, len(got))
	}
	for _, e := range events {
		if agent := got[e.Seq].UserAgent; agent == nil || *agent != e.Actor.UserAgent || got[e.Seq].EventType != audit.LoginAttempt {
			t.Errorf("%+v became %+v", e, got[e.Seq])
		}
	}
}
