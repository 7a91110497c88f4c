package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/securitytest"
)

// away is a sink that cannot be reached.
type away struct{}

func (away) Kind() string   { return "syslog" }
func (away) ID() string     { return "x" }
func (away) String() string { return "tcp://logs.example.org:514" }
func (away) Confirms() bool { return true }
func (away) Lost() error    { return nil }
func (away) Close() error   { return nil }
func (away) Send(context.Context, []audit.Message) (int, error) {
	return 0, errors.New("away")
}

// TestLagOfSinksIsAMetric, by the kind of the sink and without its address.
func TestLagOfSinksIsAMetric(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	service, _ := securitytest.Open(t, clock)
	if err := service.AddSink(ctx, away{}); err != nil {
		t.Fatal(err)
	}
	scrape := func() string {
		answer := httptest.NewRecorder()
		newMetrics(service, slog.New(slog.DiscardHandler)).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
		return answer.Body.String()
	}
	for _, line := range []string{`audit_sink_lag_events{sink="syslog"} 0`, `audit_sink_lag_seconds{sink="syslog"} 0`} {
		if !strings.Contains(scrape(), line) {
			t.Errorf("%q is not there at first", line)
		}
	}
	if err := service.Started(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	clock.Advance(90 * time.Second)
	text := scrape()
	for _, line := range []string{`audit_sink_lag_events{sink="syslog"} 1`, `audit_sink_lag_seconds{sink="syslog"} 90`} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is not in\n%s", line, text)
		}
	}
	if strings.Contains(text, "logs.example.org") {
		t.Error("the address of the sink is a label")
	}
}
