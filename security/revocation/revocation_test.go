package revocation

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// uuidOf is the nth id.
func uuidOf(n int) string {
	var u id
	u[0] = 1
	binary.BigEndian.PutUint64(u[8:], uint64(n))
	return u.String()
}

func holder(token, session, user int, generation int64) Holder {
	return Holder{uuidOf(token), uuidOf(session), uuidOf(user), generation}
}

func TestRevoked(t *testing.T) {
	later := now.Add(time.Hour)
	const token, session, user, own = 1, 2, 3, 4
	for name, c := range map[string]struct {
		revoked []Revocation
		holder  Holder
		want    bool
	}{
		"nothing":                {nil, holder(token, session, user, 0), false},
		"the token":              {[]Revocation{{Kind: Token, Subject: uuidOf(token), ExpiresAt: later}}, holder(token, session, user, 9), true},
		"another token":          {[]Revocation{{Kind: Token, Subject: uuidOf(9), ExpiresAt: later}}, holder(token, session, user, 0), false},
		"the session":            {[]Revocation{{Kind: Session, Subject: uuidOf(session), ExpiresAt: later}}, holder(token, session, user, 9), true},
		"the user, before":       {[]Revocation{{Kind: User, Subject: uuidOf(user), Generation: 5, ExpiresAt: later}}, holder(token, session, user, 4), true},
		"the user, in the same":  {[]Revocation{{Kind: User, Subject: uuidOf(user), Generation: 5, ExpiresAt: later}}, holder(token, session, user, 5), false},
		"another user":           {[]Revocation{{Kind: User, Subject: uuidOf(9), Generation: 5, ExpiresAt: later}}, holder(token, session, user, 4), false},
		"all but this session":   {[]Revocation{{Kind: User, Subject: uuidOf(user), ExceptSession: uuidOf(own), Generation: 5, ExpiresAt: later}}, holder(token, own, user, 4), false},
		"all but another":        {[]Revocation{{Kind: User, Subject: uuidOf(user), ExceptSession: uuidOf(own), Generation: 5, ExpiresAt: later}}, holder(token, session, user, 4), true},
		"everyone":               {[]Revocation{{Kind: Everyone, Generation: 5, ExpiresAt: later}}, holder(token, session, user, 4), true},
		"everyone, issued after": {[]Revocation{{Kind: Everyone, Generation: 5, ExpiresAt: later}}, holder(token, session, user, 6), false},
		"everyone but this":      {[]Revocation{{Kind: Everyone, ExceptSession: uuidOf(own), Generation: 5, ExpiresAt: later}}, holder(token, own, user, 4), false},
		"twice, the later spares another": {[]Revocation{
			{Kind: Everyone, ExceptSession: uuidOf(own), Generation: 5, ExpiresAt: later},
			{Kind: Everyone, ExceptSession: uuidOf(session), Generation: 7, ExpiresAt: later}}, holder(token, own, user, 4), true},
		"what is no id names nothing": {[]Revocation{{Kind: Session, Subject: "nonsense", ExpiresAt: later}}, Holder{TokenID: "x", SessionID: "y", UserID: "z"}, false},
	} {
		s := NewSet()
		s.Add(c.revoked...)
		if got := s.Revoked(c.holder); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestPruneForgetsOnlyWhatHasExpired(t *testing.T) {
	s := NewSet()
	s.Add(Revocation{Kind: Session, Subject: uuidOf(1), ExpiresAt: now.Add(time.Second / 2)},
		Revocation{Kind: Session, Subject: uuidOf(2), ExpiresAt: now.Add(time.Minute)},
		Revocation{Kind: User, Subject: uuidOf(3), Generation: 1, ExpiresAt: now.Add(time.Second)},
		Revocation{Kind: Everyone, Generation: 2, ExpiresAt: now.Add(time.Minute)})
	if s.Prune(now); s.Len() != 4 {
		t.Errorf("%d are left, all are still good", s.Len())
	}
	if s.Prune(now.Add(time.Second)); s.Len() != 2 || !s.Revoked(holder(9, 2, 9, 9)) || !s.Revoked(holder(9, 9, 9, 0)) {
		t.Errorf("%d are left", s.Len())
	}
	if s.Prune(now.Add(time.Hour)); s.Len() != 0 {
		t.Errorf("%d are left", s.Len())
	}
	for i := range 1000 {
		s.Add(Revocation{Kind: Session, Subject: uuidOf(i), ExpiresAt: now.Add(time.Duration(i) * time.Minute)})
	}
	if s.Prune(now.Add(900 * time.Minute)); s.Len() != 99 || !s.Revoked(holder(0, 950, 0, 0)) {
		t.Errorf("%d are left after most have gone", s.Len())
	}
}

// million is the figure of performance.md.
const million = 1_000_000

func filled(n int) *Set {
	s := NewSet()
	batch := make([]Revocation, 0, 1000)
	for i := range n {
		batch = append(batch, Revocation{Kind: Session, Subject: uuidOf(i), ExpiresAt: now.Add(time.Hour)})
		if len(batch) == cap(batch) {
			s.Add(batch...)
			batch = batch[:0]
		}
	}
	return s
}

// BenchmarkMemory shows what an entry takes, from a set that is as full as its
// map may be to one that has just grown.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{900_000, million, 1_400_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				s := filled(n)
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/entry")
				runtime.KeepAlive(s)
			}
		})
	}
}

func BenchmarkRevoked(b *testing.B) {
	for _, n := range []int{0, 1000, million} {
		s := filled(n)
		alive := holder(n+1, n+2, n+3, 1)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s.Revoked(alive) {
					b.Fatal("a token that lives is dead")
				}
			}
		})
	}
}

func BenchmarkRevokedParallel(b *testing.B) {
	s := filled(million)
	alive := holder(million+1, million+2, million+3, 1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if s.Revoked(alive) {
				b.Error("a token that lives is dead")
			}
		}
	})
}

// FuzzRevoked: whatever a token calls itself, it is dead by its own names only.
func FuzzRevoked(f *testing.F) {
	f.Add(uuidOf(1), uuidOf(2), uuidOf(3))
	f.Add("", "", "")
	f.Add("{"+uuidOf(1)+"}", "urn:uuid:"+uuidOf(2), strings.ToUpper(uuidOf(3)))
	f.Fuzz(func(t *testing.T, token, session, user string) {
		s := NewSet()
		s.Add(Revocation{Kind: Session, Subject: uuidOf(77), ExpiresAt: now}, Revocation{Kind: User, Subject: uuidOf(78), Generation: 5, ExpiresAt: now})
		dead := s.Revoked(Holder{token, session, user, 1})
		if named := parse(token) == parse(uuidOf(77)) || parse(session) == parse(uuidOf(77)) || parse(user) == parse(uuidOf(78)); dead != named {
			t.Errorf("%q %q %q: %v", token, session, user, dead)
		}
	})
}
