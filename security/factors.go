package security

import (
	"context"
	"slices"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// otpIssuer is the name that authenticator apps show beside the code.
const otpIssuer = "Patronus"

// qrSize is the side of the picture in pixels: an otpauth URL of usual length
// needs some 50 modules, so each is about six pixels wide.
const qrSize = 320

// MFAState is what a person sees of their second factor.
type MFAState struct {
	Factors         []mfa.Factor // verified ones, oldest first
	BackupCodesLeft int
}

// MFA returns the state of the caller's second factor.
func (s *Service) MFA(ctx context.Context, c Caller) (MFAState, error) {
	var state MFAState
	err := s.db.Snapshot(ctx, func(r db.Reader) error {
		verified, err := mfa.Verified(r, s.keys, c.User.ID)
		if err != nil {
			return err
		}
		for _, f := range verified {
			state.Factors = append(state.Factors, f.Factor)
		}
		state.BackupCodesLeft, err = mfa.BackupCodesLeft(r, c.User.ID)
		return err
	})
	return state, err
}

// Enrollment is what an authenticator app needs to know: the secret as text,
// as a Key URI, and that as a picture.
type Enrollment struct {
	Secret secret.Text // base32
	URL    secret.Text // otpauth://totp/…
	QR     []byte      // PNG
}

// BeginTOTP starts the enrollment of an authenticator app in place of one that
// was begun before. Nothing changes for the next sign-in until a code verifies
// it. With one enrolled already it returns secerr.Conflict: a stolen session
// must not add a factor of its own. Where a new one is demanded, the old one has
// to be proved by a sign-in a short while ago, or it is secerr.Forbidden.
func (s *Service) BeginTOTP(ctx context.Context, c Caller, name string) (Enrollment, error) {
	if name == "" {
		name = "Authenticator app"
	}
	name, err := cleanName("name", name)
	if err != nil {
		return Enrollment{}, err
	}
	totpSecret, err := mfa.NewSecret(s.rand)
	if err != nil {
		return Enrollment{}, err
	}
	err = s.change(ctx, c, func(tx *db.Tx) error {
		verified, err := mfa.Verified(tx, s.keys, c.User.ID)
		if err != nil {
			return err
		}
		if len(verified) > 0 && !c.User.Reenroll {
			return secerr.New(secerr.Conflict, "An authenticator app is enrolled for this account already.")
		}
		if len(verified) > 0 && tx.Now().Sub(c.Session.CreatedAt) > mfa.PendingLifetime {
			return secerr.New(secerr.Forbidden, "A second factor is replaced right after a sign-in. Sign out, sign in again, and set it up then.")
		}
		f, err := mfa.Begin(tx, s.keys, c.User.ID, c.Session.ID, name, totpSecret)
		if err != nil {
			return err
		}
		return record(tx, c, audit.MFAEnroll, audit.Details{"method": mfa.TOTP, "factor_id": f.ID, "stage": "begun"})
	})
	if err != nil {
		return Enrollment{}, err
	}
	return s.enrollment(c, totpSecret)
}

// PendingTOTP shows the enrollment that the caller's session has under way
// again, so that a page can be reloaded. It returns secerr.NotFound when there is none.
func (s *Service) PendingTOTP(ctx context.Context, c Caller) (Enrollment, error) {
	pending, err := mfa.Pending(s.db.Read(ctx), s.keys, c.User.ID, c.Session.ID, s.now())
	if err != nil {
		return Enrollment{}, err
	}
	return s.enrollment(c, pending.Secret)
}

func (s *Service) enrollment(c Caller, totpSecret secret.Text) (Enrollment, error) {
	url := mfa.URL(otpIssuer, c.User.Email, totpSecret)
	qr, err := mfa.QRPNG(url, qrSize)
	if err != nil {
		return Enrollment{}, err
	}
	return Enrollment{Secret: totpSecret, URL: secret.NewText(url), QR: qr}, nil
}

// Enrolled is what follows a verified enrollment: ten backup codes, shown once,
// and a session that took the place of the caller's.
type Enrolled struct {
	BackupCodes []secret.Text
	SignIn      SignIn
}

// VerifyTOTP finishes an enrollment with its first code. Every session of the
// account ends, and for the caller a new one, of both factors, begins. It returns
// secerr.NotFound when no enrollment is under way and secerr.InvalidCode for a
// wrong code.
func (s *Service) VerifyTOTP(ctx context.Context, c Caller, code string) (Enrolled, error) {
	codes, err := mfa.NewBackupCodes(s.rand)
	if err != nil {
		return Enrolled{}, err
	}
	var done Enrolled
	err = s.write(ctx, func(tx *db.Tx) (error, error) {
		if err := still(tx, tx.Now(), c); err != nil {
			return nil, err
		}
		pending, err := mfa.Pending(tx, s.keys, c.User.ID, c.Session.ID, tx.Now())
		if err != nil {
			return nil, err
		}
		step, ok, err := mfa.Match(pending.Secret, code, tx.Now(), pending.LastUsedStep)
		if err != nil {
			return nil, err
		}
		details := audit.Details{"method": mfa.TOTP, "factor_id": pending.ID, "stage": "verified"}
		if !ok {
			details["reason"] = "wrong_code"
			return wrongCode(),
				audit.Append(tx, audit.Event{Type: audit.MFAEnroll, Actor: c.actor(), Details: details})
		}
		if accepted, err := mfa.Accept(tx, pending.ID, step); err != nil || !accepted {
			return wrongCode(), err
		}
		// Of a forced reenrollment: the factor from before goes.
		if err := mfa.RemoveOthers(tx, c.User.ID, pending.ID); err != nil {
			return nil, err
		}
		if err := user.Reenrolled(tx, c.User.ID); err != nil {
			return nil, err
		}
		// It would stand in for the new one as well.
		if err := user.DropEnrolmentLinks(tx, c.User.ID); err != nil {
			return nil, err
		}
		if err := mfa.ReplaceBackupCodes(tx, c.User.ID, codes); err != nil {
			return nil, err
		}
		// Every session so far was opened with the password alone, and one of
		// them may be a thief's.
		ended, err := endSessions(tx, c.User.ID, "", "second_factor_enrolled")
		if err != nil {
			return nil, err
		}
		own := slices.Index(ended, c.Session.ID)
		if own < 0 {
			return nil, secerr.New(secerr.Unauthenticated, "Your session has ended. Sign in again.")
		}
		if err := recordEnded(tx, c.actor(), c.User.ID, slices.Delete(ended, own, own+1), "second_factor_enrolled"); err != nil {
			return nil, err
		}
		u := c.User
		u.MFAEnabled, u.Reenroll = true, false
		done.SignIn, err = s.openSession(tx, c.Request, c.Session.Kind, u, []string{session.Password, session.OTP, session.Multi})
		if err != nil {
			return nil, err
		}
		details["new_session_id"] = done.SignIn.Session.ID
		return nil, record(tx, c, audit.MFAEnroll, details)
	})
	if err != nil {
		return Enrolled{}, err
	}
	done.BackupCodes = codes
	return done, nil
}

func wrongCode() *secerr.Error {
	return secerr.New(secerr.InvalidCode, "This code is not right. Check that the clock of your device is set by the network, and type the code that it shows now.")
}
