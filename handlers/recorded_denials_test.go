package handlers

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/rbac"
)

// TestEveryDenialIsRecorded asks for each route without what it needs. Nobody in
// particular is turned away and leaves nothing behind; whoever is somebody leaves
// one authorization_failed that names the permission.
func TestEveryDenialIsRecorded(t *testing.T) {
	from, of := rehearse(t)
	s := setStage(t, from, of, false)
	keyID, token := s.key(s.ada, "sites:read")
	key := &part{ID: s.ada.ID, Token: token}
	before := s.dump()
	denied := map[access]int{}
	for _, r := range table() {
		if r.access == public {
			continue
		}
		page := !isMachinePath(r.path)
		c := call{id: s.uma.ID, header: examples[r.name()].header()}
		if page && r.changes() {
			c.form = fields{}
		}
		t.Run(r.name(), func(t *testing.T) {
			s.t = t
			s.turnedAway(r, c, page)
			if !page && r.access != anyone {
				c.as = key
				denied[r.access]++
				s.denied(r, c, audit.Actor{UserID: key.ID, APIKeyID: keyID})
			}
			if (r.access == permitted || r.access == inPart) && rbac.Of(rbac.User, r.permission) == rbac.None {
				c.as = &s.uma
				denied["somebody"]++
				s.denied(r, c, audit.Actor{UserID: s.uma.ID})
			}
		})
	}
	s.t = t
	for _, change := range s.dump().Changes(before) {
		t.Errorf("who was denied changed something: %s", change)
	}
	for _, kind := range []access{permitted, ownOr, person, "somebody"} {
		if denied[kind] == 0 {
			t.Errorf("no route of the kind %q was denied", kind)
		}
	}
}

// header is what the example of a route sends beside what every call has.
func (e example) header() map[string]string {
	if e.status != http.StatusSwitchingProtocols {
		return nil
	}
	return e.call(nil).header // a handshake is the same for everybody
}

// turnedAway asks as nobody.
func (s *stage) turnedAway(r route, c call, page bool) {
	s.t.Helper()
	newest := s.newest()
	c.as = &part{}
	answer := s.send(r, c)
	switch {
	case page && (answer.status != http.StatusSeeOther || !strings.HasPrefix(answer.header.Get("Location"), "/login")):
		s.t.Errorf("nobody is answered %d, to %q", answer.status, answer.header.Get("Location"))
	case !page && answer.status != http.StatusUnauthorized:
		s.t.Errorf("nobody is answered %d", answer.status)
	}
	for _, event := range s.events(newest) {
		s.t.Errorf("nobody wrote a %s", event.Type)
	}
}

// denied asks as somebody without the permission.
func (s *stage) denied(r route, c call, who audit.Actor) {
	s.t.Helper()
	newest := s.newest()
	answer := s.send(r, c)
	if answer.status != http.StatusForbidden {
		s.t.Errorf("%s is answered %d: %s", who, answer.status, answer.text)
	}
	var found []audit.Record
	for _, event := range s.events(newest) {
		if event.Type != audit.APIKeyUsage { // of a read, and of a read alone
			found = append(found, event)
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("%s left %d events", who, len(found))
	}
	event := found[0]
	if event.Type != audit.AuthorizationFailed || event.Success || event.Severity != audit.Warning ||
		event.Actor.UserID != who.UserID || event.Actor.APIKeyID != who.APIKeyID || event.Actor.RequestID != answer.header.Get("X-Request-Id") {
		s.t.Errorf("%s left %+v", who, event)
	}
	var details struct{ Permission, Reason, Route string }
	s.check(json.Unmarshal(event.Details, &details))
	if details.Permission != string(r.permission) || details.Reason == "" || details.Route != r.name() {
		s.t.Errorf("%s left the details %s", who, event.Details)
	}
}
