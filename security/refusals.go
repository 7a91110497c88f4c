package security

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"patronus.internal/dashboard/security/anomaly"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/ipblock"
	"patronus.internal/dashboard/security/ratelimit"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/user"
)

// How many refusals are remembered, some 400 bytes each: the last of each
// network, so that one that floods pushes nobody else's out.
const (
	keptPerNetwork = 20
	keptNetworks   = 512
)

// Refusal is a request that was turned away with 403 or 429, kept in memory so
// that an admin can explain it by its request id or address.
type Refusal struct {
	RequestID string
	At        time.Time
	Code      secerr.Code
	Route     string
	Email     string // of who was signed in, or tried to
	UserID    string // of who was signed in
	APIKeyID  string
	IP        netip.Addr
	// How the address was found: the other end of the connection, and what
	// X-Forwarded-For said.
	Peer      string
	Forwarded []string
}

// refusals are the last ones. The zero value is ready; it is safe for
// concurrent use.
type refusals struct {
	mu       sync.Mutex
	networks map[netip.Prefix][]Refusal // each oldest first
}

func (r *refusals) add(one Refusal) {
	network := anomaly.NetworkOf(one.IP)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.networks == nil {
		r.networks = make(map[netip.Prefix][]Refusal)
	}
	list, known := r.networks[network]
	if !known && len(r.networks) >= keptNetworks {
		r.forget()
	}
	if len(list) >= keptPerNetwork {
		list = slices.Delete(list, 0, 1)
	}
	r.networks[network] = append(list, one)
}

// forget drops the network whose last refusal is the oldest.
func (r *refusals) forget() {
	var oldest netip.Prefix
	var at time.Time
	for network, list := range r.networks {
		if last := list[len(list)-1].At; at.IsZero() || last.Before(at) {
			oldest, at = network, last
		}
	}
	delete(r.networks, oldest)
}

// find returns those that fit, newest first, limit at most.
func (r *refusals) find(fits func(Refusal) bool, limit int) []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Refusal
	for _, list := range r.networks {
		for _, one := range list {
			if fits(one) {
				found = append(found, one)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Refusal) int { return b.At.Compare(a.At) })
	return found[:min(len(found), limit)]
}

// Refused remembers a refusal.
func (s *Service) Refused(one Refusal) {
	one.At = s.now()
	if canonical, err := user.CanonicalEmail(one.Email); err == nil {
		one.Email = canonical
	}
	s.refusals.add(one)
}

// Explanation is why an address is turned away, or was.
type Explanation struct {
	IP       netip.Addr
	Trusted  bool           // it is a trusted proxy itself
	Block    *ipblock.Block // in force now
	Login    ratelimit.Decision
	Requests ratelimit.Decision // without identity
	// Callers are the limits of those who were refused, by address or key id.
	Callers  map[string]ratelimit.Decision
	Refusals []Refusal      // newest first
	Events   []audit.Record // newest first
	// FailedLogins are those of the last day, newest first.
	FailedLogins []audit.Record
}

const (
	// explained bounds what a page shows of each kind.
	explained = 20
	// explainedFailures bounds the failed sign-ins, of which a page shows no more
	// than their number and accounts.
	explainedFailures = 500
)

// Explain tells all that is known of why an address, given as such or by the
// id of a request, is turned away. It returns secerr.ValidationFailed for what
// is neither, or a request that is not remembered.
func (s *Service) Explain(ctx context.Context, c Caller, about string) (Explanation, error) {
	if err := s.Authorize(ctx, c, rbac.IPBlocksRead); err != nil {
		return Explanation{}, err
	}
	ip, err := netip.ParseAddr(about)
	if err != nil {
		found := s.refusals.find(func(r Refusal) bool { return r.RequestID == about }, 1)
		if len(found) == 0 {
			return Explanation{}, secerr.Invalid("about", "Give an address, or the id of a request that was refused a short while ago.")
		}
		ip = found[0].IP
	}
	ip = ip.Unmap().WithZone("")
	if err := s.fresh(ctx); err != nil {
		return Explanation{}, err
	}
	e := Explanation{IP: ip, Trusted: s.isProxy(netip.PrefixFrom(ip, ip.BitLen())),
		Login: s.limits.login.PeekIP(ip), Requests: s.limits.unauthenticated.PeekIP(ip)}
	e.Callers = make(map[string]ratelimit.Decision)
	if c.Reach(rbac.AuditRead) == rbac.All { // they name people, as the log does
		e.Refusals = s.refusals.find(func(r Refusal) bool { return r.IP == ip || r.RequestID == about }, explained)
	}
	for _, r := range e.Refusals {
		switch {
		case r.APIKeyID != "":
			e.Callers["API key "+r.APIKeyID] = s.limits.peekKey(r.APIKeyID)
		case r.UserID != "":
			e.Callers[r.Email] = s.limits.authenticated.PeekUser(r.UserID)
		case r.Email != "":
			e.Callers["sign-ins of "+r.Email] = s.limits.login.PeekUser(r.Email)
		}
	}
	if block, found := s.memory.blocks.Find(ip, s.now()); found {
		e.Block = &block
	}
	if e.Events, _, err = s.Events(ctx, c, audit.Filter{IP: ip.String(), Limit: explained}); err != nil || c.Reach(rbac.AuditRead) != rbac.All {
		return e, err
	}
	e.FailedLogins, err = audit.FailedLogins(s.db.Read(ctx), ip.String(), s.now().Add(-24*time.Hour), explainedFailures)
	return e, err
}

// ForgetAddress makes the limiters forget what an address has used up, and what
// the accounts have that it was refused for.
func (s *Service) ForgetAddress(ctx context.Context, c Caller, about string) error {
	ip, err := netip.ParseAddr(about)
	if err != nil {
		return secerr.Invalid("about", "Give an address.")
	}
	err = s.change(ctx, c, func(tx *db.Tx) error {
		return record(tx, c, audit.IPUnblock, audit.Details{"target_network": ip.String(), "limits": "forgotten"})
	})
	if err != nil {
		return err
	}
	// And the accounts that it was refused for.
	for _, r := range s.refusals.find(func(r Refusal) bool { return r.IP == ip && r.Email != "" && r.UserID == "" }, explained) {
		s.limits.login.ResetUser(r.Email)
	}
	s.limits.login.ResetIP(ip)
	s.limits.unauthenticated.ResetIP(ip)
	return nil
}
