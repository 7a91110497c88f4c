package security

import (
	"context"

	"patronus.internal/dashboard/security/audit"
)

// Neighbours are events that have something in common with one, newest first.
type Neighbours struct {
	Request, Session, Address []audit.Record
}

// shownNeighbours is how many there are of each kind.
const shownNeighbours = 5

// Neighbours looks around an event for others of its request, its session and its
// address. Who reaches only their own events sees no others.
func (s *Service) Neighbours(ctx context.Context, c Caller, e audit.Record) (Neighbours, error) {
	var n Neighbours
	of := e.Actor
	for _, kind := range []struct {
		found *[]audit.Record
		has   string
		// What a request and a session always have in common narrows where to look.
		f audit.Filter
	}{
		{&n.Request, of.RequestID, audit.Filter{Request: of.RequestID, IP: of.IPAddress}},
		{&n.Session, of.SessionID, audit.Filter{Session: of.SessionID, UserID: of.UserID}},
		{&n.Address, of.IPAddress, audit.Filter{IP: of.IPAddress}},
	} {
		f, some := withinReach(c, kind.f)
		if kind.has == "" || !some {
			continue
		}
		f.Limit = shownNeighbours
		var err error
		if *kind.found, err = audit.Neighbours(s.db.Read(ctx), f, e.Seq); err != nil {
			return Neighbours{}, err
		}
	}
	return n, nil
}
