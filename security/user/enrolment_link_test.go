package user

import (
	"crypto/rand"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// enrolmentLink demands a new second factor of a user and issues a link to it.
func (s *store) enrolmentLink(userID string) (token secret.Text) {
	s.Helper()
	s.write(func(tx *db.Tx) (err error) {
		if _, err = ForceReenrollment(tx, userID); err == nil {
			token, err = IssueEnrolmentLink(tx, rand.Reader, Link{UserID: userID, Lifetime: time.Hour})
		}
		return err
	})
	return token
}

// leads checks whether a link is good, to look at and to use.
func (s *store) leads(what, userID string, token secret.Text, good bool) {
	s.Helper()
	u, err := ByEnrolmentLink(s.read(), token, s.now)
	if (err == nil && u.ID == userID) != good || err != nil && !secerr.Is(err, secerr.NotFound) {
		s.Errorf("%s leads to %q, %v", what, u.ID, err)
	}
	if err := s.try(func(tx *db.Tx) error { return SpendEnrolmentLink(tx, userID, token) }); (err == nil) != good || err != nil && !secerr.Is(err, secerr.NotFound) {
		s.Errorf("%s is spent: %v", what, err)
	}
}

func TestEnrolmentLink(t *testing.T) {
	s := open(t)
	ann, bob := s.create("ann@example.org", ""), s.create("bob@example.org", "")
	older := s.enrolmentLink(ann.ID)
	token, others := s.enrolmentLink(ann.ID), s.enrolmentLink(bob.ID)
	s.leads("a replaced one", ann.ID, older, false)
	s.leads("none", ann.ID, secret.Text{}, false)
	if err := s.try(func(tx *db.Tx) error { return SpendEnrolmentLink(tx, bob.ID, token) }); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("another user spends it: %v", err)
	}
	s.leads("the newest", ann.ID, token, true)
	s.leads("a used one", ann.ID, token, false)
	s.leads("another user's", bob.ID, others, true)

	token = s.enrolmentLink(ann.ID)
	s.write(func(tx *db.Tx) error { return Reenrolled(tx, ann.ID) })
	s.leads("one of who has a new factor", ann.ID, token, false)

	token = s.enrolmentLink(ann.ID)
	s.write(func(tx *db.Tx) error { return DropEnrolmentLinks(tx, ann.ID) })
	s.leads("a dropped one", ann.ID, token, false)

	token = s.enrolmentLink(ann.ID)
	s.now = s.now.Add(time.Hour)
	s.leads("an expired one", ann.ID, token, false)

	token = s.enrolmentLink(ann.ID)
	s.disable(ann.ID)
	s.leads("one of who is disabled", ann.ID, token, false)
}
