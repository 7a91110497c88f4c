package handlers

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/user"
)

// enrolsToo sets up a second factor for somebody who has entered.
func (s *stage) enrolsToo(p *part) {
	s.t.Helper()
	begun, err := s.service.BeginTOTP(s.ctx, s.caller(p.Token), "")
	s.check(err)
	enrolled, err := s.service.VerifyTOTP(s.ctx, s.caller(p.Token), s.totp(begun.Secret))
	s.check(err)
	p.Backup = enrolled.BackupCodes
	tokens, err := s.service.Tokens(enrolled.SignIn)
	s.check(err)
	p.Token = tokens.Access.Reveal()
}

// TestTwoAdminsWhoDemoteEachOther at once, each with a nonce: one stays.
func TestTwoAdminsWhoDemoteEachOther(t *testing.T) {
	from, of := rehearse(t)
	for range 5 {
		s := setStage(t, from, of, false)
		ben := s.enter("ben@example.org", "admin")
		s.enrolsToo(&ben)
		admins := []*part{&s.ada, &ben}
		patch := route{method: http.MethodPatch, path: "/api/v1/users/:id"}
		var calls []call
		for i, by := range admins {
			var confirmed struct{ Nonce string }
			s.must(route{method: http.MethodPost, path: "/api/v1/auth/nonce"},
				call{as: by, json: fields{"action": "users.role", "password": stagePassword, "code": by.code()}}, &confirmed)
			calls = append(calls, call{as: by, id: admins[1-i].ID, json: fields{"role": "viewer"}, nonce: confirmed.Nonce})
		}
		answers := make([]answered, len(calls))
		var wg sync.WaitGroup
		for i, c := range calls {
			wg.Go(func() { answers[i] = s.send(patch, c) })
		}
		wg.Wait()
		done := 0
		for _, a := range answers {
			switch a.status {
			case http.StatusOK:
				done++
			// The other was first: no admin would be left, or this one is none any more.
			case http.StatusConflict, http.StatusUnauthorized, http.StatusForbidden:
			default:
				t.Errorf("the answer is %d: %s", a.status, a.text)
			}
		}
		users, _, err := s.service.Users(s.ctx, security.Caller{User: user.User{Role: "admin"}}, user.Filter{Limit: 10})
		s.check(err)
		var left []string
		for _, u := range users {
			if u.Role == "admin" && u.Enabled {
				left = append(left, u.Email)
			}
		}
		if done != 1 || len(left) != 1 {
			t.Fatalf("%d were demoted, and the admins are %s", done, strings.Join(left, ", "))
		}
	}
}

// TestOneOfManyAddsAnAddress: each asks for the same one at once.
func TestOneOfManyAddsAnAddress(t *testing.T) {
	from, of := rehearse(t)
	s := setStage(t, from, of, false)
	answers := make([]answered, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			answers[i] = s.send(route{method: http.MethodPost, path: "/api/v1/users"}, call{json: fields{"email": "new@example.org", "role": "user"}})
		})
	}
	wg.Wait()
	added := 0
	for _, a := range answers {
		if a.status == http.StatusCreated {
			added++
		} else if a.status != http.StatusConflict {
			t.Errorf("the answer is %d: %s", a.status, a.text)
		}
	}
	users, _, err := s.service.Users(s.ctx, security.Caller{User: user.User{Role: "admin"}}, user.Filter{Email: "new@example.org", Limit: 10})
	s.check(err)
	if added != 1 || len(users) != 1 || users[0].Role != "user" {
		t.Errorf("%d were added: %v", added, emailsOf(users))
	}
}

func emailsOf(users []user.User) (emails []string) {
	for _, u := range users {
		emails = append(emails, u.Email)
	}
	return emails
}
