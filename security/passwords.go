package security

import (
	"context"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/password"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/user"
)

// product is what a password is not to be made of, beside one's own address.
const product = "patronus"

// newPassword holds a new password against the policy and what the user had
// before, and hashes it. The history costs one hash for each password in it,
// of which the policy bounds the number.
func (s *Service) newPassword(ctx context.Context, u user.User, pw secret.Text) (secret.Text, error) {
	pw, err := password.Normalize(pw)
	if err != nil {
		return secret.Text{}, err
	}
	if reasons := password.Check(pw, s.PasswordRules(u.Email, u.MFAEnabled)); len(reasons) > 0 {
		fields := make([]secerr.Field, 0, len(reasons))
		for _, r := range reasons {
			fields = append(fields, secerr.Field{Field: "password", Detail: r.Detail})
		}
		return secret.Text{}, secerr.InvalidFields(fields...)
	}
	used, err := s.usedBefore(ctx, u, pw)
	if err != nil {
		return secret.Text{}, err
	}
	if used {
		return secret.Text{}, secerr.Invalid("password", "You had this password before. Use another.")
	}
	hash, err := s.hasher.Hash(ctx, pw)
	return secret.NewText(hash), err
}

// usedBefore compares with the password of now and those of the history.
func (s *Service) usedBefore(ctx context.Context, u user.User, pw secret.Text) (bool, error) {
	history := s.Policy().Passwords.History
	if u.ID == "" || history == 0 {
		return false, nil
	}
	past, err := user.PastPasswords(s.db.Read(ctx), u.ID, history)
	if err != nil {
		return false, err
	}
	if !u.PasswordHash.Empty() {
		past = append(past, u.PasswordHash)
	}
	for _, hash := range past {
		if same, _, err := s.hasher.Verify(ctx, pw, hash.Reveal()); err != nil || same {
			return same, err
		}
	}
	return false, nil
}

// PasswordRules is what the policy asks of a new password of an account.
func (s *Service) PasswordRules(email string, mfaEnabled bool) password.Rules {
	return password.Rules{MinLength: s.minPasswordLength(mfaEnabled), MinScore: int(s.Policy().Passwords.MinScore),
		RequireClasses: s.Policy().Passwords.RequireClasses, Email: email, Product: product}
}

// minPasswordLength is the least number of characters of a new password: an
// account without a second factor needs a longer one.
func (s *Service) minPasswordLength(mfaEnabled bool) int {
	rules := s.Policy().Passwords
	if mfaEnabled {
		return int(rules.MinLength)
	}
	return int(max(rules.MinLength, rules.MinLengthWithoutMFA))
}

// ChangePassword sets a new password of the caller, who proves to know the old
// one. Their other sessions end. It returns secerr.InvalidCredentials when the
// old one is not right and secerr.ValidationFailed when the new one is
// refused.
func (s *Service) ChangePassword(ctx context.Context, c Caller, current, next secret.Text) error {
	u, right, err := s.provePassword(ctx, c, current)
	if secerr.Is(err, secerr.ValidationFailed) {
		right, err = false, nil // what cannot be a password is not the right one
	}
	if err != nil {
		return err
	}
	if !right {
		return s.write(ctx, func(tx *db.Tx) (error, error) {
			if err := still(tx, tx.Now(), c); err != nil {
				return nil, err
			}
			if err := audit.Append(tx, audit.Event{Type: audit.PasswordChange, Actor: c.actor(), Details: audit.Details{"reason": "wrong_password"}}); err != nil {
				return nil, err
			}
			return s.wrongProof(tx, c, secerr.New(secerr.InvalidCredentials, "The current password is not right."))
		})
	}
	// Before anything is said of the new password: to an ended session the old
	// one, right or wrong, gets one answer.
	if err := s.change(ctx, c, func(*db.Tx) error { return nil }); err != nil {
		return err
	}
	hash, err := s.newPassword(ctx, u, next)
	if err != nil {
		return err
	}
	err = s.change(ctx, c, func(tx *db.Tx) error {
		if err := s.setPassword(tx, u, hash, c.Session.ID, c.actor()); err != nil {
			return err
		}
		if err := s.post(tx, outbox.PasswordChanged, u.Email, nil, noticeLifetime); err != nil {
			return err
		}
		return record(tx, c, audit.PasswordChange, audit.Details{"by": "owner"})
	})
	s.deliverSoon()
	return err
}

// setPassword stores a new password in the place of the one that it was
// checked against, and ends the sessions of the account but one, and its links.
func (s *Service) setPassword(tx *db.Tx, u user.User, hash secret.Text, except string, actor audit.Actor) error {
	if err := user.SetPassword(tx, u, hash, s.Policy().Passwords.History); err != nil {
		return err
	}
	// Links to another password, sent or on their way, may be in wrong hands:
	// to change it is what the owner is advised to then.
	if err := user.DropLinks(tx, u.ID); err != nil {
		return err
	}
	if err := outbox.Drop(tx, outbox.PasswordReset, u.Email); err != nil {
		return err
	}
	ended, err := endSessions(tx, u.ID, except, "password_change")
	if err != nil {
		return err
	}
	return recordEnded(tx, actor, u.ID, ended, "password_change")
}

// CheckLink returns the user whose password a link may set, or secerr.NotFound
// when the link is unknown, was used or has expired.
func (s *Service) CheckLink(ctx context.Context, token secret.Text) (user.User, error) {
	r := s.db.Read(ctx)
	u, err := user.ByLink(r, token, s.now())
	if err != nil {
		return user.User{}, err
	}
	return madeByEnough(r, s.now(), u, func(r db.Reader) (user.Maker, error) { return user.LinkMaker(r, token) })
}

// SetPasswordByLink uses a link up, sets the password and ends every session
// of the account. It returns secerr.NotFound when the link is not good, and
// secerr.ValidationFailed, with the link still good, for a password that is
// refused.
func (s *Service) SetPasswordByLink(ctx context.Context, req Request, token, pw secret.Text) error {
	u, err := s.CheckLink(ctx, token)
	if err != nil {
		return err
	}
	hash, err := s.newPassword(ctx, u, pw)
	if err != nil {
		return err
	}
	err = s.commit(ctx, func(tx *db.Tx) error {
		purpose, err := user.SpendLink(tx, u.ID, token)
		if err != nil {
			return err
		}
		if _, err := madeByEnough(tx, tx.Now(), u, func(r db.Reader) (user.Maker, error) { return user.LinkMaker(r, token) }); err != nil {
			return err
		}
		if err := s.unlockedByLink(tx, req, u); err != nil {
			return err
		}
		if purpose == user.Reset {
			if err := s.post(tx, outbox.PasswordChanged, u.Email, nil, noticeLifetime); err != nil {
				return err
			}
		}
		actor := req.actor()
		actor.UserID, actor.Email = u.ID, u.Email
		if err := s.setPassword(tx, u, hash, "", actor); err != nil {
			return err
		}
		return audit.Append(tx, audit.Event{Type: audit.PasswordChange, Success: true, Actor: actor,
			Details: audit.Details{"by": purpose}})
	})
	s.deliverSoon()
	return err
}
