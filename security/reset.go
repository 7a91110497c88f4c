package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
)

// ResetLifetime is how long a link to another password is good.
const ResetLifetime = 30 * time.Minute

// resetMailLifetime is how long a link is tried to be sent; who waited longer
// has asked again.
const resetMailLifetime = time.Hour

// RequestPasswordReset asks for a link to another password to be sent to an
// address. The answer is the same whether there is an account, and so is the
// work: the link is made when the mail is sent, behind the back of who asks. It
// returns secerr.ValidationFailed for what cannot be an address.
func (s *Service) RequestPasswordReset(ctx context.Context, req Request, email string) error {
	email, err := user.CanonicalEmail(email)
	if err != nil {
		return err
	}
	err = s.commit(ctx, func(tx *db.Tx) error {
		actor, details := req.actor(), audit.Details{"mail": s.mailer != nil}
		actor.Email = email
		u, err := findEvenly(tx, email)
		switch {
		case secerr.Is(err, secerr.NotFound):
			details["reason"] = "unknown_user"
		case err != nil:
			return err
		case !u.Enabled:
			details["reason"] = "disabled"
		}
		actor.UserID = u.ID
		if err := audit.Append(tx, audit.Event{Type: audit.PasswordReset, Success: details["reason"] == nil, Actor: actor, Details: details}); err != nil {
			return err
		}
		return s.post(tx, outbox.PasswordReset, email, nil, resetMailLifetime)
	})
	s.deliverSoon()
	return err
}

// findEvenly is user.ByEmail with the same work for an address that is known and
// one that is not: one look finds a user, another finds none. Without it they
// differ by some 20 µs, which enough requests over a short way would tell.
func findEvenly(tx *db.Tx, email string) (user.User, error) {
	found, err := user.ByEmail(tx, email)
	if err != nil && !secerr.Is(err, secerr.NotFound) {
		return user.User{}, err
	}
	second := func() (user.User, error) { return user.ByEmail(tx, "") }
	if err != nil {
		second = func() (user.User, error) { return user.First(tx) }
	}
	if _, err := second(); err != nil && !secerr.Is(err, secerr.NotFound) {
		return user.User{}, err
	}
	return found, err
}

// SendsMail reports whether links are sent. Otherwise an admin makes them.
func (s *Service) SendsMail() bool { return s.mailer != nil }

// ResetLink makes a link to another password of a user for an admin to hand
// over. It returns secerr.NonceRequired, secerr.NonceInvalid, secerr.Forbidden
// for a user above the caller, and secerr.NotFound for one who is unknown or
// disabled.
func (s *Service) ResetLink(ctx context.Context, c Caller, nonce secret.Text, userID string) (secret.Text, error) {
	var link string
	err := s.change(ctx, c, func(tx *db.Tx) error {
		if err := stepup.Spend(tx, c.holder(), stepup.ResetLink, nonce); err != nil {
			return err
		}
		u, err := subject(tx, c, userID)
		if err != nil {
			return err
		}
		if !u.Enabled {
			return secerr.New(secerr.NotFound, "This user is disabled.")
		}
		// A mail that still waits would bring another link, and end this one.
		if err := outbox.Drop(tx, outbox.PasswordReset, u.Email); err != nil {
			return err
		}
		token, err := user.IssueLink(tx, s.rand, user.Link{UserID: u.ID, Purpose: user.Reset, Lifetime: ResetLifetime, MadeBy: c.maker()})
		if err != nil {
			return err
		}
		link = s.link("/reset-password", token)
		return record(tx, c, audit.PasswordReset, audit.Details{"by": "admin", "target_user_id": u.ID, "target_email": u.Email})
	})
	if err != nil {
		return secret.Text{}, err
	}
	return secret.NewText(link), nil
}
