package security_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
)

// manyAtOnce is how many requests the parallel tests of keys send.
const manyAtOnce = 50

// crowd runs do from fifty goroutines at once.
func crowd(do func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range manyAtOnce {
		wg.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	wg.Wait()
}

// TestManyRequestsOfOneKey: of fifty at once, as many pass as its own limit has,
// and what is refused costs nothing of the policy's.
func TestManyRequestsOfOneKey(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	s, _ := securitytest.Open(t, clock)
	if _, _, err := s.AddUser(ctx, email, "viewer", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	c := identify(t, s, login(t, s))
	key, token, err := s.CreateKey(ctx, c, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}, RateLimit: &apikey.RateLimit{MaxRequests: 8, WindowSecs: 60, Burst: 2}})
	if err != nil {
		t.Fatal(err)
	}
	var passed atomic.Int64
	crowd(func(int) {
		who, err := s.VerifyKey(ctx, security.Request{Route: "GET /x"}, token)
		if err != nil {
			t.Error(err)
			return
		}
		d, err := s.LimitCaller(ctx, who)
		switch {
		case err == nil:
			passed.Add(1)
		case !secerr.Is(err, secerr.RateLimited):
			t.Error(err)
		}
		if d.Limit != 10 {
			t.Errorf("the limit that is told is %d", d.Limit)
		}
	})
	if passed.Load() != 10 {
		t.Errorf("%d of %d passed, want 10", passed.Load(), manyAtOnce)
	}
	who, err := s.VerifyKey(ctx, security.Request{Route: "GET /x"}, token)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := s.LimitWebSocket(ctx, who); !secerr.Is(err, secerr.RateLimited) || d.Limit != 10 {
		t.Errorf("a live connection beyond the limit: %v, %d", err, d.Limit)
	}
	if _, err := s.UpdateKey(ctx, c, key.ID, security.KeyPatch{RateLimit: &security.LimitPatch{None: true}}); err != nil {
		t.Fatal(err)
	}
	if who, err = s.VerifyKey(ctx, security.Request{Route: "GET /x"}, token); err != nil {
		t.Fatal(err)
	}
	if d, err := s.LimitCaller(ctx, who); err != nil || d.Remaining != s.Policy().RateLimits.APIKey.MaxRequests+s.Policy().RateLimits.APIKey.Burst-11 {
		t.Errorf("the policy's limit has %d left, %v", d.Remaining, err)
	}
}

// TestManyRotationsWithAnOverlap: of fifty at once as many succeed as old secrets
// may be kept; each secret that was answered works, and the log has as many events.
func TestManyRotationsWithAnOverlap(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	key, first := e.newKey(t, "audit:read")
	secrets := make([]secret.Text, manyAtOnce)
	crowd(func(i int) {
		_, token, err := e.service.RotateKey(ctx, e.caller, security.Rotation{KeyID: key.ID, OverlapSecs: 60})
		if err != nil && !secerr.Is(err, secerr.Conflict) {
			t.Error(err)
		}
		secrets[i] = token
	})
	answered, work := 0, 0
	for _, token := range append(secrets, first) {
		if token.Empty() {
			continue
		}
		answered++
		if _, err := e.service.VerifyKey(ctx, security.Request{}, token); err == nil {
			work++
		}
	}
	if answered != apikey.MaxOldSecrets+1 || work != answered {
		t.Errorf("%d secrets were given out, and %d of them work", answered, work)
	}
	if n := e.events(t, audit.KeyRotate, true); n != answered-1 {
		t.Errorf("%d events of %d rotations", n, answered-1)
	}
	e.clock.Advance(time.Minute)
	good := 0
	for _, token := range secrets {
		if !token.Empty() {
			if _, err := e.service.VerifyKey(ctx, security.Request{}, token); err == nil {
				good++
			}
		}
	}
	if good != 1 {
		t.Errorf("%d secrets work after the overlap", good)
	}
}

// TestAChangeOfAKeyCountsEverywhereAtOnce: in a server beside, which has the key in
// its memory.
func TestAChangeOfAKeyCountsEverywhereAtOnce(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	other := securitytest.Beside(t, e.clock, e.dataDir)
	key, token := e.newKey(t, "audit:read", "users:read")
	from := security.Request{IP: netip.MustParseAddr("192.0.2.1"), Route: "GET /x"}
	verify := func(s *security.Service) (security.Caller, error) { return s.VerifyKey(ctx, from, token) }
	for _, s := range []*security.Service{e.service, other} {
		if _, err := verify(s); err != nil {
			t.Fatal(err)
		}
	}
	one, minute := int64(1), int64(60)
	patch := security.KeyPatch{Scopes: &[]string{"audit:read"}, RateLimit: &security.LimitPatch{MaxRequests: &one, WindowSecs: &minute}}
	if _, err := e.service.UpdateKey(ctx, e.caller, key.ID, patch); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*security.Service{e.service, other} {
		who, err := verify(s)
		if err != nil || who.Reach("users:read") != 0 || who.Reach("audit:read") == 0 {
			t.Errorf("%v, and it may do %v", err, who.Held().Permissions())
		}
		if d, err := s.LimitCaller(ctx, who); err != nil || d.Limit != 1 {
			t.Errorf("%v, and the limit is %d", err, d.Limit)
		}
	}
	if _, err := other.UpdateKey(ctx, e.caller, key.ID, security.KeyPatch{Networks: &[]string{"198.51.100.0/24"}}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*security.Service{e.service, other} {
		if _, err := verify(s); !secerr.Is(err, secerr.Forbidden) {
			t.Errorf("from outside of its networks: %v", err)
		}
	}
}

// TestAChangeOfAKeyStopsWhatIsUnderWay: also a request that was let in before it.
func TestAChangeOfAKeyStopsWhatIsUnderWay(t *testing.T) {
	ctx := context.Background()
	for name, patch := range map[string]security.KeyPatch{
		"fewer scopes":   {Scopes: &[]string{"audit:read"}},
		"other networks": {Networks: &[]string{"198.51.100.0/24"}},
	} {
		e := enrol(t, "admin")
		key, token := e.newKey(t, "audit:read", "ip_blocks:write")
		who, err := e.service.VerifyKey(ctx, security.Request{IP: netip.MustParseAddr("192.0.2.1"), Route: "POST /x", Change: true}, token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.service.UpdateKey(ctx, e.caller, key.ID, patch); err != nil {
			t.Fatal(err)
		}
		if _, err := e.service.BlockIP(ctx, who, security.BlockRequest{Network: "203.0.113.7", Duration: time.Hour}); !secerr.Is(err, secerr.Forbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheLongestChangeOfAKeyFitsIntoTheLog: or it could not be made.
func TestTheLongestChangeOfAKeyFitsIntoTheLog(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	var scopes []string
	for _, resource := range []string{"sites", "paths", "metrics", "policies", "users", "audit", "api_keys", "sessions", "ip_blocks", "*"} {
		scopes = append(scopes, resource+":read", resource+":*")
	}
	scopes = scopes[:len(scopes)-1] // all but *:*, which needs a proof
	networks := func(half string) *[]string {
		var list []string
		for i := range 50 {
			list = append(list, fmt.Sprintf("ffff:ffff:ffff:ffff:ffff:ffff:%s:ff%02x/128", half, i+100))
		}
		return &list
	}
	key, _, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: strings.Repeat("<", 100), Scopes: scopes[:len(scopes)-6], Networks: *networks("aaaa"),
		RateLimit: &apikey.RateLimit{MaxRequests: 1_000_000, WindowSecs: 86400, Burst: 1_000_000}})
	if err != nil {
		t.Fatal(err)
	}
	name, reversed := strings.Repeat(">", 100), append([]string{}, scopes[1:len(scopes)-6]...)
	least := int64(999_999)
	_, err = e.service.UpdateKey(ctx, e.caller, key.ID, security.KeyPatch{Name: &name, Scopes: &reversed, Networks: networks("bbbb"),
		RateLimit: &security.LimitPatch{MaxRequests: &least, Burst: &least}})
	if err != nil {
		t.Error(err)
	}
	if n := e.events(t, audit.APIKeyUpdate, true); n != 1 {
		t.Errorf("%d events", n)
	}
}
