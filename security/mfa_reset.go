package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
)

// enrolmentLifetime is how long an enrolment link is good.
const enrolmentLifetime = 24 * time.Hour

// ResetMFA is the command of the host for somebody who lost their second factor:
// every session of theirs is dead when it returns here, and FreshFor later in
// every server; they must enrol a new one before anything else, and the link that
// is returned stands in for the old one, once. The old one is not removed until
// the new one is there, so that a password alone is at no time enough. It returns
// secerr.NotFound for an unknown address and secerr.Conflict for who is disabled
// or has no password yet.
func (s *Service) ResetMFA(ctx context.Context, email string) (secret.Text, error) {
	email, err := user.CanonicalEmail(email)
	if err != nil {
		return secret.Text{}, err
	}
	var link secret.Text
	err = s.commit(ctx, func(tx *db.Tx) error {
		u, err := user.ByEmail(tx, email)
		if err != nil {
			return err
		}
		var details audit.Details
		if link, details, err = s.resetMFA(tx, u, user.Maker{}); err != nil {
			return err
		}
		if err := recordForHost(tx, audit.UserUpdate, details); err != nil {
			return err
		}
		return endAllForHost(tx, u.ID, mfaReset)
	})
	if err != nil {
		return secret.Text{}, err
	}
	return link, nil
}

// EnrolmentLink is ResetMFA by an admin, who hands the link over. It returns
// secerr.NonceRequired, secerr.NonceInvalid, secerr.NotFound for an unknown user,
// secerr.Forbidden for one above the caller, and secerr.Conflict as ResetMFA.
func (s *Service) EnrolmentLink(ctx context.Context, c Caller, nonce secret.Text, userID string) (secret.Text, error) {
	var link secret.Text
	err := s.change(ctx, c, func(tx *db.Tx) error {
		if err := stepup.Spend(tx, c.holder(), stepup.ForceReenrollment, nonce); err != nil {
			return err
		}
		u, err := subject(tx, c, userID)
		if err != nil {
			return err
		}
		var details audit.Details
		if link, details, err = s.resetMFA(tx, u, c.maker()); err != nil {
			return err
		}
		if err := recordAs(tx, c, audit.UserUpdate, audit.Warning, details); err != nil {
			return err
		}
		return endAllOf(tx, c.actor(), u.ID, mfaReset)
	})
	if err != nil {
		return secret.Text{}, err
	}
	return link, nil
}

// mfaReset is why sessions end whose second factor was lost.
const mfaReset = "mfa_reset"

// resetMFA makes the link, and what its event says.
func (s *Service) resetMFA(tx *db.Tx, u user.User, madeBy user.Maker) (secret.Text, audit.Details, error) {
	if u.PasswordHash.Empty() {
		return secret.Text{}, nil, secerr.New(secerr.Conflict, "This user has set no password yet, so there is no second factor to reset.")
	}
	found, err := user.ForceReenrollment(tx, u.ID)
	if err != nil {
		return secret.Text{}, nil, err
	}
	if len(found) == 0 {
		return secret.Text{}, nil, secerr.New(secerr.Conflict, "This user is disabled. Enable them first.")
	}
	token, err := user.IssueEnrolmentLink(tx, s.rand, user.Link{UserID: u.ID, Lifetime: enrolmentLifetime, MadeBy: madeBy})
	if err != nil {
		return secret.Text{}, nil, err
	}
	return secret.NewText(s.link("/login/enroll", token)),
		audit.Details{"target_user_id": u.ID, "target_email": u.Email, "reenroll": true, "enrolment_link": true}, nil
}

// CheckEnrolmentLink returns the user for whose second factor a link stands in,
// or secerr.NotFound when it is unknown, was used or has expired.
func (s *Service) CheckEnrolmentLink(ctx context.Context, token secret.Text) (user.User, error) {
	return goodEnrolmentLink(s.db.Read(ctx), token, s.now())
}

// AwaitsSecondFactor reports whether a sign-in of this user has come as far as
// the second factor.
func (s *Service) AwaitsSecondFactor(ctx context.Context, kind session.Kind, pending secret.Text, userID string) (bool, error) {
	found, err := session.BySecret(s.db.Read(ctx), kind, pending)
	if secerr.Is(err, secerr.NotFound) {
		return false, nil
	}
	return err == nil && found.UserID == userID && found.Stage == session.SecondFactor && found.Alive(s.now(), 0), err
}

// EnrolByLink finishes a sign-in that waits for its second factor with an
// enrolment link in its place, which it uses up. The session gets a new id, and
// is good for nothing but to enrol a new second factor. It returns
// secerr.Unauthenticated when the sign-in has expired or was finished, and
// secerr.NotFound when the link is not good, or is another user's.
func (s *Service) EnrolByLink(ctx context.Context, req Request, kind session.Kind, pending, token secret.Text) (SignIn, error) {
	if err := s.fresh(ctx); err != nil {
		return SignIn{}, err
	}
	var in SignIn
	err := s.write(ctx, func(tx *db.Tx) (error, error) {
		waits, err := session.BySecret(tx, kind, pending)
		if err != nil || waits.Stage != session.SecondFactor || !waits.Alive(tx.Now(), 0) {
			return nil, signInOver(err)
		}
		u, err := user.ByID(tx, waits.UserID)
		if err != nil || !u.Enabled {
			return nil, signInOver(err)
		}
		const method = "enrolment_link"
		refusal := user.SpendEnrolmentLink(tx, u.ID, token)
		if refusal == nil {
			_, refusal = madeByEnough(tx, tx.Now(), u, func(r db.Reader) (user.Maker, error) { return user.EnrolmentLinkMaker(r, token) })
		}
		switch {
		case secerr.Is(refusal, secerr.NotFound):
			return refusal, audit.Append(tx, audit.Event{Type: audit.MFAVerify, Actor: sessionActor(req, u, waits),
				Details: audit.Details{"method": method, "reason": "link_not_good"}})
		case refusal != nil:
			return nil, refusal
		}
		if _, err := session.End(tx, waits.ID, "second_factor_done"); err != nil {
			return nil, err
		}
		// Two factors: the password, and what the host handed over.
		in, err = s.completeSignIn(tx, req, kind, u, []string{session.Password, session.Multi}, audit.MFAVerify, audit.Details{"method": method})
		return nil, err
	})
	if err != nil {
		return SignIn{}, err
	}
	s.deliverSoon()
	return in, nil
}

// goodEnrolmentLink returns the user of a link that is good, and made by somebody
// who could make it now.
func goodEnrolmentLink(r db.Reader, token secret.Text, now time.Time) (user.User, error) {
	u, err := user.ByEnrolmentLink(r, token, now)
	if err != nil {
		return user.User{}, err
	}
	return madeByEnough(r, now, u, func(r db.Reader) (user.Maker, error) { return user.EnrolmentLinkMaker(r, token) })
}
