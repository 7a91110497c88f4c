package security

import (
	"context"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/password"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
)

// Proof is what a person gives to show that they are still there.
type Proof struct {
	Password secret.Text
	Code     string // of an authenticator app or a backup code, when a second factor is enrolled
}

// Nonce returns a nonce for one critical operation. A person proves their
// presence with the password, and with a code when a second factor is
// enrolled; an API key gives neither. It returns secerr.ValidationFailed for
// an unknown action or a missing proof, secerr.InvalidCredentials or
// secerr.InvalidCode for a wrong one.
func (s *Service) Nonce(ctx context.Context, c Caller, action string, p Proof) (secret.Text, error) {
	parsed, err := stepup.ParseAction(action)
	if err != nil {
		return secret.Text{}, err
	}
	passwordOK := true
	if c.Key == nil {
		if err := s.checkProof(c, p); err != nil {
			return secret.Text{}, err
		}
		if _, passwordOK, err = s.provePassword(ctx, c, p.Password); err != nil {
			return secret.Text{}, err
		}
	}
	details := audit.Details{"purpose": "step_up", "action": action}
	var nonce secret.Text
	err = s.write(ctx, func(tx *db.Tx) (error, error) {
		if err := s.still(tx, c); err != nil {
			return nil, err
		}
		if !passwordOK {
			details["method"], details["reason"] = "password", "wrong_password"
			return secerr.New(secerr.InvalidCredentials, "The password is not right."),
				audit.Append(tx, audit.Event{Type: audit.MFAVerify, Actor: c.actor(), Details: details})
		}
		if c.Key == nil && c.User.MFAEnabled {
			method := mfa.TOTP
			if _, ok := mfa.NormalizeBackupCode(p.Code); ok {
				method = mfa.BackupCode
			}
			if refusal, err := s.checkCode(tx, c.actor(), c.User, method, p.Code, details); refusal != nil || err != nil {
				return refusal, err
			}
			details["method"] = method
		}
		nonce, err = stepup.Issue(tx, s.rand, c.holder(), parsed)
		if err != nil {
			return nil, err
		}
		if c.Key != nil {
			return nil, appendUsage(tx, c.actor(), c.Request.Route, 1)
		}
		return nil, record(tx, c, audit.MFAVerify, details)
	})
	if err != nil {
		return secret.Text{}, err
	}
	return nonce, nil
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
