package security

import (
	"context"
	"crypto/subtle"
	"sync"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// setupLifetime is how long the first-run link is good; a restart makes a new
// one.
const setupLifetime = time.Hour

// setupLink is the link of this run of the program. It is kept in memory only,
// so that it dies with the process.
type setupLink struct {
	mu      sync.Mutex
	hash    []byte // nil: there is none
	expires time.Time
}

// FirstRun returns the link on which the first admin is created, or "" when
// there is a user already.
func (s *Service) FirstRun(ctx context.Context) (string, error) {
	any, err := user.Any(s.db.Read(ctx))
	if err != nil || any {
		return "", err
	}
	token, err := secret.NewToken(s.rand, "")
	if err != nil {
		return "", err
	}
	s.setup.mu.Lock()
	defer s.setup.mu.Unlock()
	s.setup.hash, s.setup.expires = token.Hash(), s.now().Add(setupLifetime)
	return s.link("/setup", token), nil
}

// link writes a link that carries a token. It is built from the public URL
// alone, never from what a request says of its host.
func (s *Service) link(path string, token secret.Text) string {
	u := s.publicURL.JoinPath(path)
	u.RawQuery = "token=" + token.Reveal()
	return u.String()
}

// CheckSetup reports whether a first-run token is good, as an error:
// secerr.NotFound when it is not, or when there is a user already.
func (s *Service) CheckSetup(ctx context.Context, token secret.Text) error {
	refusal := secerr.New(secerr.NotFound, "This first-run link is not good any more. Restart the program; as long as there is no user it prints a new one.")
	s.setup.mu.Lock()
	good := s.setup.hash != nil && subtle.ConstantTimeCompare(s.setup.hash, token.Hash()) == 1 && s.now().Before(s.setup.expires)
	s.setup.mu.Unlock()
	if !good {
		return refusal
	}
	any, err := user.Any(s.db.Read(ctx))
	if err != nil {
		return err
	}
	if any {
		return refusal
	}
	return nil
}

// Setup creates the first admin and signs them in. Of several at once, one
// succeeds; the others get secerr.NotFound, as does a token that is not good.
// A password that is refused is secerr.ValidationFailed.
func (s *Service) Setup(ctx context.Context, req Request, token secret.Text, email string, pw secret.Text) (SignIn, error) {
	if err := s.CheckSetup(ctx, token); err != nil {
		return SignIn{}, err
	}
	email, hash, err := s.newAccount(ctx, email, pw)
	if err != nil {
		return SignIn{}, err
	}
	var in SignIn
	err = s.commit(ctx, func(tx *db.Tx) error {
		any, err := user.Any(tx)
		if err != nil {
			return err
		}
		if any {
			return secerr.New(secerr.NotFound, "The first admin was created already. Sign in.")
		}
		u, err := s.createUser(tx, req.actor(), email, rbac.Admin, hash, audit.Details{"first_run": true})
		if err != nil {
			return err
		}
		in, err = s.completeSignIn(tx, req, session.Browser, u, []string{session.Password}, audit.LoginAttempt,
			audit.Details{"method": "first_run"})
		return err
	})
	if err != nil {
		return SignIn{}, err
	}
	s.setup.mu.Lock()
	s.setup.hash = nil
	s.setup.mu.Unlock()
	return in, nil
}

// CreateFirstAdmin creates the admin of an unattended install on an empty
// database and reports whether it did. With a user there already it does
// nothing, and does not ask for the password.
func (s *Service) CreateFirstAdmin(ctx context.Context, email string, readPassword func() (secret.Text, error)) (bool, error) {
	if any, err := user.Any(s.db.Read(ctx)); err != nil || any {
		return false, err
	}
	pw, err := readPassword()
	if err != nil {
		return false, err
	}
	email, hash, err := s.newAccount(ctx, email, pw)
	if err != nil {
		return false, err
	}
	created := false
	err = s.commit(ctx, func(tx *db.Tx) error {
		if any, err := user.Any(tx); err != nil || any {
			return err
		}
		_, err := s.createUser(tx, audit.Actor{}, email, rbac.Admin, hash, audit.Details{"actor": "settings", "first_run": true})
		created = err == nil
		return err
	})
	return created, err
}
