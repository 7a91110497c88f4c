package user

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

func (s *store) spendLink(userID string, token secret.Text) (purpose string, err error) {
	err = s.try(func(tx *db.Tx) (err error) {
		purpose, err = SpendLink(tx, userID, token)
		return err
	})
	return purpose, err
}

func TestLinkIsGoodOnce(t *testing.T) {
	s := open(t)
	ann, bob := s.create("ann@example.org", ""), s.create("bob@example.org", "")
	older := s.link(ann.ID, time.Hour)
	token, others := s.link(ann.ID, time.Hour), s.link(bob.ID, time.Hour)
	for name, c := range map[string]struct {
		token secret.Text
		want  string
	}{"the newest": {token, ann.ID}, "replaced": {older, ""}, "another user's": {others, bob.ID},
		"none": {secret.Text{}, ""}, "its hash": {secret.NewText(string(token.Hash())), ""}} {
		u, err := ByLink(s.read(), c.token, s.now)
		if u.ID != c.want || (c.want == "") != secerr.Is(err, secerr.NotFound) {
			t.Errorf("%s leads to %q, %v", name, u.ID, err)
		}
	}
	if _, err := s.spendLink(bob.ID, token); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("another user spends it: %v", err)
	}
	if purpose, err := s.spendLink(ann.ID, token); err != nil || purpose != Invite {
		t.Errorf("%q, %v", purpose, err)
	}
	if _, err := s.spendLink(ann.ID, token); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("it is good twice: %v", err)
	}
	if _, err := ByLink(s.read(), token, s.now); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("it leads to a page after it was used: %v", err)
	}
	if u, err := ByLink(s.read(), others, s.now); err != nil || u.ID != bob.ID {
		t.Errorf("the other user's link: %v", err)
	}
}

func TestLinkExpires(t *testing.T) {
	s := open(t)
	ann := s.create("ann@example.org", "")
	token, issued := s.link(ann.ID, time.Hour), s.now
	if _, err := ByLink(s.read(), token, issued.Add(time.Hour-time.Microsecond)); err != nil {
		t.Errorf("in its last moment: %v", err)
	}
	s.now = issued.Add(time.Hour)
	if _, err := ByLink(s.read(), token, s.now); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("expired: %v", err)
	}
	if _, err := s.spendLink(ann.ID, token); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("spent though expired: %v", err)
	}
}

func TestLinkOfDisabledUserLeadsNowhere(t *testing.T) {
	s := open(t)
	ann := s.create("ann@example.org", "")
	token := s.link(ann.ID, time.Hour)
	s.disable(ann.ID)
	if _, err := ByLink(s.read(), token, s.now); !secerr.Is(err, secerr.NotFound) {
		t.Error(err)
	}
}

func TestOneOfManySpendsALink(t *testing.T) {
	s := open(t)
	ann := s.create("ann@example.org", "")
	token := s.link(ann.ID, time.Hour)
	var good atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			switch _, err := s.spendLink(ann.ID, token); {
			case err == nil:
				good.Add(1)
			case !secerr.Is(err, secerr.NotFound):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if good.Load() != 1 {
		t.Errorf("%d callers spent one link", good.Load())
	}
}

func TestLinkNeedsRandomness(t *testing.T) {
	s := open(t)
	ann := s.create("ann@example.org", "")
	token := s.link(ann.ID, time.Hour)
	if err := s.try(func(tx *db.Tx) error {
		_, err := IssueLink(tx, strings.NewReader("short"), Link{UserID: ann.ID, Purpose: Invite, Lifetime: time.Hour})
		return err
	}); err == nil {
		t.Error("a token of less than 256 bits is issued")
	}
	if _, err := ByLink(s.read(), token, s.now); err != nil {
		t.Errorf("the link before is gone with it: %v", err)
	}
	var stored []byte
	if err := s.read().QueryRow("SELECT token_hash FROM password_links").Scan(&stored); err != nil || !bytes.Equal(stored, token.Hash()) {
		t.Errorf("what is stored is not the hash: %v", err)
	}
}
