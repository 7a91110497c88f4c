package security

import (
	"context"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/password"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
)

// maxWrongProofs in a row end the session that they come from: who holds a
// stolen one guesses no more than this, and the owner's account is not locked
// by it. A person who mistypes gets further.
const maxWrongProofs = 5

// Proof is what a person gives to show that they are still there.
type Proof struct {
	Password secret.Text
	Code     string // of an authenticator app or a backup code, when a second factor is enrolled
}

// Nonce returns a nonce for one critical operation. A person proves their
// presence with the password, and with a code when a second factor is
// enrolled; an API key gives neither. It returns secerr.ValidationFailed for
// an unknown action or a missing proof, secerr.InvalidCredentials or
// secerr.InvalidCode for a wrong one, of which five in a row end the session.
func (s *Service) Nonce(ctx context.Context, c Caller, action string, p Proof) (secret.Text, error) {
	parsed, err := stepup.ParseAction(action)
	if err != nil {
		return secret.Text{}, err
	}
	if parsed.Personal() {
		if err := s.AuthorizePerson(ctx, c); err != nil {
			return secret.Text{}, err
		}
	}
	var nonce secret.Text
	err = s.confirm(ctx, c, parsed, p, func(tx *db.Tx, details audit.Details) error {
		if nonce, err = stepup.Issue(tx, s.rand, c.holder(), parsed); err != nil {
			return err
		}
		if c.Key != nil {
			_, used := keyUse(c.actor(), c.Request.Route)
			return audit.Append(tx, counted(used, 1))
		}
		return record(tx, c, audit.MFAVerify, details)
	})
	if err != nil {
		return secret.Text{}, err
	}
	return nonce, nil
}

// Confirmed is what follows a confirmation in a browser.
type Confirmed struct {
	Caller Caller      // as before, in the session that took the place of theirs
	Cookie secret.Text // of that session
	Nonce  secret.Text // bound to it
}

// Confirm is Nonce for a page: the session of the browser gets a new id too, so
// that a cookie that was stolen before is dead from here on.
func (s *Service) Confirm(ctx context.Context, c Caller, action stepup.Action, p Proof) (Confirmed, error) {
	done := Confirmed{Caller: c}
	err := s.confirm(ctx, c, action, p, func(tx *db.Tx, details audit.Details) (err error) {
		if done.Caller.Session, done.Cookie, err = session.Renew(tx, s.rand, c.Session.ID); err != nil {
			return err
		}
		if err := revocation.Add(tx, ofSession(tx, c.Session.ID, "renewed")); err != nil {
			return err
		}
		if done.Nonce, err = stepup.Issue(tx, s.rand, done.Caller.holder(), action); err != nil {
			return err
		}
		details["new_session_id"] = done.Caller.Session.ID
		return record(tx, c, audit.MFAVerify, details)
	})
	if err != nil {
		return Confirmed{}, err
	}
	return done, nil
}

// confirm checks a proof and, in the same transaction, does what is to follow.
func (s *Service) confirm(ctx context.Context, c Caller, action stepup.Action, p Proof, then func(*db.Tx, audit.Details) error) error {
	passwordOK := true
	if c.Key == nil {
		if err := s.checkProof(c, p); err != nil {
			return err
		}
		var err error
		if _, passwordOK, err = s.provePassword(ctx, c, p.Password); err != nil {
			return err
		}
	}
	details := audit.Details{"purpose": "step_up", "action": string(action)}
	return s.write(ctx, func(tx *db.Tx) (error, error) {
		if err := still(tx, tx.Now(), c); err != nil {
			return nil, err
		}
		if !passwordOK {
			details["method"], details["reason"] = "password", "wrong_password"
			refusal := secerr.New(secerr.InvalidCredentials, "The password is not right.")
			if err := audit.Append(tx, audit.Event{Type: audit.MFAVerify, Actor: c.actor(), Details: details}); err != nil {
				return nil, err
			}
			return s.wrongProof(tx, c, refusal)
		}
		if c.Key == nil && c.User.MFAEnabled {
			method := mfa.TOTP
			if _, ok := mfa.NormalizeBackupCode(p.Code); ok {
				method = mfa.BackupCode
			}
			refusal, err := s.checkCode(tx, c.actor(), c.User, method, p.Code, details)
			if err != nil {
				return nil, err
			}
			if secerr.Is(refusal, secerr.RateLimited) {
				return refusal, nil // the code was not looked at
			}
			if refusal != nil {
				return s.wrongProof(tx, c, refusal)
			}
			details["method"] = method
		}
		if c.Key == nil {
			if err := session.ForgetWrongProofs(tx, c.Session.ID); err != nil {
				return nil, err
			}
		}
		return nil, then(tx, details)
	})
}

// wrongProof counts a wrong proof of the caller's session, the last of which
// ends it.
func (s *Service) wrongProof(tx *db.Tx, c Caller, refusal error) (error, error) {
	n, err := session.CountWrongProof(tx, c.Session.ID)
	if err != nil || n < maxWrongProofs {
		return refusal, err
	}
	ended, err := endSession(tx, c.Session.ID, "wrong_proofs")
	if err != nil || !ended {
		return refusal, err
	}
	return secerr.New(secerr.TokenRevoked, "That was wrong too often, so you are signed out. Sign in again."),
		audit.Append(tx, audit.Event{Type: audit.SessionEnd, Severity: audit.Warning, Success: true, Actor: c.actor(),
			Details: audit.Details{"target_session_id": c.Session.ID, "target_user_id": c.User.ID, "reason": "wrong_proofs"}})
}

// checkProof refuses a proof that lacks a part, before anything is hashed.
func (s *Service) checkProof(c Caller, p Proof) error {
	var fields []secerr.Field
	if p.Password.Empty() {
		fields = append(fields, secerr.Field{Field: "password", Detail: "Give your password to confirm this."})
	}
	if c.User.MFAEnabled && p.Code == "" {
		fields = append(fields, secerr.Field{Field: "code", Detail: "Give a code of your second factor to confirm this."})
	}
	if fields != nil {
		return secerr.InvalidFields(fields...)
	}
	return nil
}

// provePassword reports whether it is the caller's password, and returns the
// user as they are now, hash and all.
func (s *Service) provePassword(ctx context.Context, c Caller, pw secret.Text) (user.User, bool, error) {
	pw, err := password.Normalize(pw)
	if err != nil {
		return user.User{}, false, err
	}
	u, err := user.ByID(s.db.Read(ctx), c.User.ID)
	if err != nil {
		return user.User{}, false, absent(err, errRevoked())
	}
	ok, _, err := s.hasher.Verify(ctx, pw, u.PasswordHash.Reveal())
	return u, ok, err
}
