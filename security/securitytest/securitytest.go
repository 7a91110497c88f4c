// Package securitytest has what tests of the layers above need: a clock that
// stands still, cheap hashing, a service on a real migrated file, and a look
// at the log from outside.
package securitytest

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	// The driver of the look from outside.
	_ "github.com/mattn/go-sqlite3"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/password"
)

// CheapHashing takes microseconds where the real parameters take tens of
// milliseconds. It is for tests alone.
var CheapHashing = password.Options{Params: password.Params{Memory: 8, Iterations: 1, Parallelism: 1}}

// GoodPassword passes the default policy for an account without a second
// factor.
const GoodPassword = "plover kettle armistice 9"

// Clock is a time that moves only when told to. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a fixed instant.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)}
}

// Now is what Options.Now takes.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock, backwards too.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Open returns a service on a fresh data folder, and that folder. The service
// is closed when the test ends.
func Open(t testing.TB, clock *Clock) (service *security.Service, dataDir string) {
	t.Helper()
	return OpenWithMail(t, clock, nil)
}

// OpenWithMail is Open with something that sends mail.
func OpenWithMail(t testing.TB, clock *Clock, mailer security.Mailer) (service *security.Service, dataDir string) {
	t.Helper()
	dataDir = filepath.Join(t.TempDir(), "data")
	return BesideWithMail(t, clock, dataDir, mailer), dataDir
}

// Beside returns one more service on a data folder, as a command of the host
// is beside the server, or a server after a restart.
func Beside(t testing.TB, clock *Clock, dataDir string) *security.Service {
	t.Helper()
	return BesideWithMail(t, clock, dataDir, nil)
}

// BesideWithMail is Beside with something that sends mail.
func BesideWithMail(t testing.TB, clock *Clock, dataDir string, mailer security.Mailer) *security.Service {
	t.Helper()
	service, err := security.Open(context.Background(), security.Options{
		DataDir: dataDir, PublicURL: &url.URL{Scheme: "https", Host: "dashboard.example.org"},
		Hashing: CheapHashing, Mail: mailer, Now: clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return service
}

// NewestEvent reads the newest event of a database as JSON, its columns as
// members.
func NewestEvent(path string) (event []byte, err error) {
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var kind, severity, details string
	var success bool
	var userID, email, ip, session, key sql.NullString
	err = db.QueryRow(`SELECT event_type, severity, success, user_id, email, ip_address, session_id, api_key_id,
		json_patch(details, COALESCE(personal_details, '{}'))
		FROM audit_events ORDER BY seq DESC LIMIT 1`).Scan(&kind, &severity, &success, &userID, &email, &ip, &session, &key, &details)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"event_type": kind, "severity": severity, "success": success, "user_id": userID.String,
		"email": email.String, "ip_address": ip.String, "session_id": session.String, "api_key_id": key.String,
		"details": json.RawMessage(details)})
}

// Unlimited changes the policy of a data folder from outside, so that no test
// that is about something else meets a rate limit or a lock. A running service
// follows at once.
func Unlimited(dataDir string) error { return SetPolicy(dataDir, highRates+","+highLockout) }

// WithoutRateLimits is Unlimited with the locks of a new installation.
func WithoutRateLimits(dataDir string) error { return SetPolicy(dataDir, highRates) }

// LockingAfter is Unlimited with an account locked after so many failures, on
// the way to which there is neither a CAPTCHA nor a wait.
func LockingAfter(failures int) func(dataDir string) error {
	return func(dataDir string) error {
		return SetPolicy(dataDir, fmt.Sprintf(`%s,"lockout":{"captcha_after":1000,"delay_after":1000,"lock_after":%d}`, highRates, failures))
	}
}

const (
	highRates = `"rate_limits":{"login":{"max_requests":1000000,"window_secs":1,"burst":0},"api_authenticated":{"max_requests":1000000,"window_secs":1,"burst":0},
		"api_key":{"max_requests":1000000,"window_secs":1,"burst":0},"api_unauthenticated":{"max_requests":1000000,"window_secs":1,"burst":0}}`
	highLockout = `"lockout":{"captcha_after":1000,"delay_after":1000,"lock_after":1000},"anomaly":{"address_failures":100000,"spray_accounts":100000}`
)

// SetPolicy puts members of the JSON of a policy over the defaults, in a data
// folder whose policy nobody has changed yet.
func SetPolicy(dataDir, members string) (err error) {
	db, err := outside(dataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.Exec("INSERT OR IGNORE INTO policy (id, version, document, updated_at_us) VALUES (1, 1, $1, 0)", "{"+members+"}")
	if err == nil {
		_, err = db.Exec("UPDATE generation SET number = number + 1")
	}
	return err
}
