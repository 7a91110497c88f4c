package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/lockout"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/password"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// SecondFactorLifetime is how long a sign-in waits for its second factor.
const SecondFactorLifetime = 5 * time.Minute

// SignIn is the outcome of a step of a sign-in.
type SignIn struct {
	User    user.User
	Session session.Session
	// Secret is what the client holds from now on: the value of the cookie,
	// the refresh token or, while Session waits for its second factor, the
	// mfa_token.
	Secret secret.Text
	// Methods are the second factors that would do, when one is awaited.
	Methods []string
	// Device is the cookie by which this device is known from now on; empty
	// while a second factor is awaited.
	Device secret.Text
	// EnrollmentRequired is set when a second factor must be enrolled first.
	EnrollmentRequired bool

	generation int64 // of the revocations, for the access tokens
}

// SecondFactorAwaited reports whether the sign-in goes on with SecondFactor.
func (s SignIn) SecondFactorAwaited() bool { return s.Session.Stage == session.SecondFactor }

// errCredentials is one answer for an unknown address, a wrong password, an
// account without a password and a disabled one, so that nobody learns which
// (ASVS 5.0 6.3.8).
func errCredentials() *secerr.Error {
	return secerr.New(secerr.InvalidCredentials, "The e-mail address or the password is not right.")
}

// Login checks a password and begins a session: a full one, or one that waits
// for its second factor. It returns secerr.InvalidCredentials when they do not
// fit, secerr.ValidationFailed for what cannot be an address or a password,
// and secerr.Unavailable when too many passwords are being checked.
func (s *Service) Login(ctx context.Context, req Request, kind session.Kind, email string, pw secret.Text) (SignIn, error) {
	if err := s.fresh(ctx); err != nil {
		return SignIn{}, err
	}
	email, err := user.CanonicalEmail(email)
	if err != nil {
		return SignIn{}, err
	}
	pw, err = password.Normalize(pw)
	if err != nil {
		return SignIn{}, err
	}
	attempt, err := s.admit(ctx, req, email)
	if err != nil {
		return SignIn{}, err
	}
	u, stale, reason, err := s.checkPassword(ctx, email, pw)
	if err != nil {
		return SignIn{}, err
	}
	var renewed secret.Text
	if stale {
		hash, err := s.hasher.Hash(ctx, pw)
		switch {
		case secerr.Is(err, secerr.Unavailable):
			stale = false // the password is right; the next sign-in renews its hash
		case err != nil:
			return SignIn{}, err
		}
		renewed = secret.NewText(hash)
	}
	var in SignIn
	err = s.write(ctx, func(tx *db.Tx) (error, error) {
		if refusal, err := s.stillAdmitted(tx, attempt); refusal != nil || err != nil {
			return refusal, err
		}
		if reason == "" {
			in, err = s.beginSession(tx, req, kind, u)
			if err == nil && stale {
				err = user.Rehash(tx, u, renewed)
			}
			if err == nil {
				err = lockout.Forget(tx, attempt.subject)
			}
			if err == nil || !secerr.Is(err, secerr.NotFound) {
				return nil, err
			}
			reason = "account_changed"
		}
		actor := req.actor()
		actor.UserID, actor.Email = u.ID, email
		if err := audit.Append(tx, audit.Event{Type: audit.LoginAttempt, Actor: actor,
			Details: audit.Details{"method": "password", "reason": reason}}); err != nil {
			return nil, err
		}
		return errCredentials(), s.failed(tx, req, attempt, u)
	})
	s.deliverSoon()
	if secerr.Is(err, secerr.InvalidCredentials) {
		s.suspectFailure(ctx, req, email, true)
		return SignIn{}, err
	}
	if err != nil {
		s.noteGuarded(ctx, req, email, err)
		return SignIn{}, err
	}
	return in, nil
}

// checkPassword returns the user whose password it is, or a reason for the
// log. Every outcome costs one hash. stale tells that the password is right and
// its hash was made with other parameters than those of now.
func (s *Service) checkPassword(ctx context.Context, email string, pw secret.Text) (u user.User, stale bool, reason string, err error) {
	u, err = user.ByEmail(s.db.Read(ctx), email)
	switch {
	case secerr.Is(err, secerr.NotFound):
		return user.User{}, false, "unknown_user", s.hasher.VerifyDummy(ctx, pw)
	case err != nil:
		return user.User{}, false, "", err
	case !u.Enabled:
		return u, false, "disabled", s.hasher.VerifyDummy(ctx, pw)
	case u.PasswordHash.Empty():
		return u, false, "no_password", s.hasher.VerifyDummy(ctx, pw)
	}
	ok, stale, err := s.hasher.Verify(ctx, pw, u.PasswordHash.Reveal())
	if err == nil && !ok {
		reason = "wrong_password"
	}
	return u, stale, reason, err
}

// beginSession opens the session that follows a right password. It answers
// secerr.NotFound when the account changed since the password was checked.
func (s *Service) beginSession(tx *db.Tx, req Request, kind session.Kind, u user.User) (SignIn, error) {
	fresh, err := user.ByID(tx, u.ID)
	if err != nil {
		return SignIn{}, err
	}
	if !fresh.Enabled || fresh.PasswordHash != u.PasswordHash {
		return SignIn{}, secerr.New(secerr.NotFound, "The account changed.")
	}
	if u = fresh; !u.MFAEnabled { // as it is now: one may have been enrolled while the hash was computed
		return s.completeSignIn(tx, req, kind, u, []string{session.Password}, audit.LoginAttempt, audit.Details{"method": "password"})
	}
	actor := req.actor()
	pending, token, err := session.Create(tx, s.rand, session.New{UserID: u.ID, Kind: kind, Stage: session.SecondFactor,
		AMR: []string{session.Password}, IPAddress: actor.IPAddress, UserAgent: actor.UserAgent, Lifetime: SecondFactorLifetime})
	if err != nil {
		return SignIn{}, err
	}
	methods := []string{mfa.TOTP}
	if left, err := mfa.BackupCodesLeft(tx, u.ID); err != nil {
		return SignIn{}, err
	} else if left > 0 {
		methods = append(methods, mfa.BackupCode)
	}
	return SignIn{User: u, Session: pending, Secret: token, Methods: methods},
		audit.Append(tx, audit.Event{Type: audit.LoginAttempt, Success: true, Actor: sessionActor(req, u, pending),
			Details: audit.Details{"method": "password", "second_factor": "awaited"}})
}

// completeSignIn opens a full session and records it as an event of type t.
// Sessions beyond the policy's cap end, the longest unused first.
func (s *Service) completeSignIn(tx *db.Tx, req Request, kind session.Kind, u user.User, amr []string, t audit.Type, details audit.Details) (SignIn, error) {
	if err := user.SignedIn(tx, u); err != nil {
		return SignIn{}, err
	}
	in, err := s.openSession(tx, req, kind, u, amr)
	if err != nil {
		return SignIn{}, err
	}
	actor := sessionActor(req, u, in.Session)
	if err := audit.Append(tx, audit.Event{Type: t, Success: true, Actor: actor, Details: details}); err != nil {
		return SignIn{}, err
	}
	if err := s.noteDevice(tx, req, &in); err != nil {
		return SignIn{}, err
	}
	if err := s.suspectPlace(tx, req, in); err != nil {
		return SignIn{}, err
	}
	ended, err := endBeyond(tx, u.ID, s.Policy().Sessions.MaxPerUser, "too_many_sessions")
	if err != nil {
		return SignIn{}, err
	}
	return in, recordEnded(tx, actor, u.ID, ended, "too_many_sessions")
}

// openSession begins a full session with the lifetime of its kind.
func (s *Service) openSession(tx *db.Tx, req Request, kind session.Kind, u user.User, amr []string) (SignIn, error) {
	rules := s.Policy()
	lifetime := rules.Sessions.Absolute()
	if kind == session.API {
		lifetime = rules.Sessions.RefreshToken()
	}
	opened, token, err := session.Create(tx, s.rand, session.New{UserID: u.ID, Kind: kind, Stage: session.Full, AMR: amr,
		IPAddress: req.actor().IPAddress, UserAgent: req.actor().UserAgent, Lifetime: lifetime})
	if err != nil {
		return SignIn{}, err
	}
	return s.signedIn(tx, u, opened, token)
}

// signedIn completes a SignIn in the transaction that opened its session or
// renewed it.
func (s *Service) signedIn(tx *db.Tx, u user.User, opened session.Session, token secret.Text) (SignIn, error) {
	generation, err := revocation.Generation(tx)
	return SignIn{User: u, Session: opened, Secret: token, EnrollmentRequired: s.enrollmentRequired(u), generation: generation}, err
}

func (s *Service) enrollmentRequired(u user.User) bool {
	return u.Reenroll || !u.MFAEnabled && s.Policy().MFA.Requires(u.Role, u.CreatedAt, s.now())
}

// SecondFactor finishes a sign-in that waits for its second factor: with a
// code of an authenticator app (mfa.TOTP) or a backup code (mfa.BackupCode).
// The session gets a new id. It returns secerr.InvalidCode for a wrong or used
// code, secerr.RateLimited when the account's budget of wrong codes is spent,
// and secerr.Unauthenticated when the sign-in has expired or was finished.
func (s *Service) SecondFactor(ctx context.Context, req Request, kind session.Kind, token secret.Text, method, code string) (SignIn, error) {
	if method != mfa.TOTP && method != mfa.BackupCode {
		return SignIn{}, secerr.Invalid("method", "Use totp or backup_code.")
	}
	if err := s.fresh(ctx); err != nil {
		return SignIn{}, err
	}
	var in SignIn
	err := s.write(ctx, func(tx *db.Tx) (error, error) {
		pending, err := session.BySecret(tx, kind, token)
		if err != nil || pending.Stage != session.SecondFactor || !pending.Alive(tx.Now(), 0) {
			return nil, signInOver(err)
		}
		u, err := user.ByID(tx, pending.UserID)
		if err != nil || !u.Enabled {
			return nil, signInOver(err)
		}
		refusal, err := s.checkCode(tx, sessionActor(req, u, pending), u, method, code, nil)
		if refusal != nil || err != nil {
			return refusal, err
		}
		if _, err := session.End(tx, pending.ID, "second_factor_done"); err != nil {
			return nil, err
		}
		in, err = s.completeSignIn(tx, req, kind, u, []string{session.Password, session.OTP, session.Multi},
			audit.MFAVerify, audit.Details{"method": method})
		return nil, err
	})
	if err != nil {
		return SignIn{}, err
	}
	s.deliverSoon()
	return in, nil
}

// checkCode spends a code of the user, or counts and records a failure and
// returns the refusal. The budget is the account's: a new sign-in, another
// address or another session does not renew it.
func (s *Service) checkCode(tx *db.Tx, actor audit.Actor, u user.User, method, code string, details audit.Details) (refusal, err error) {
	lockout := s.Policy().Lockout
	window := time.Duration(lockout.CodeWindowSecs) * time.Second
	budget, err := mfa.Budget(tx, u.ID)
	if err != nil {
		return nil, err
	}
	if wait := budget.Wait(tx.Now(), lockout.CodeAttempts, window); wait > 0 {
		return &secerr.Error{Code: secerr.RateLimited, RetryAfter: wait,
			Detail: "Too many wrong codes for this account. Wait before you try another."}, nil
	}
	var ok bool
	switch method {
	case mfa.TOTP:
		ok, err = mfa.SpendTOTP(tx, s.keys, u.ID, code)
	case mfa.BackupCode:
		ok, err = mfa.SpendBackupCode(tx, u.ID, code)
	}
	if err != nil || ok {
		return nil, err
	}
	if err := mfa.CountFailure(tx, u.ID, window); err != nil {
		return nil, err
	}
	all := audit.Details{"method": method, "reason": "wrong_or_used_code"}
	for name, value := range details {
		all[name] = value
	}
	return secerr.New(secerr.InvalidCode, "This code is not right or was used before. Wait for the next one and try again."),
		audit.Append(tx, audit.Event{Type: audit.MFAVerify, Actor: actor, Details: all})
}

// Logout ends the caller's session: its cookie and tokens are dead when it
// returns.
func (s *Service) Logout(ctx context.Context, c Caller) error {
	return s.commit(ctx, func(tx *db.Tx) error {
		ended, err := endSession(tx, c.Session.ID, "logout")
		if err != nil || !ended {
			return err
		}
		return audit.Append(tx, audit.Event{Type: audit.Logout, Success: true, Actor: c.actor()})
	})
}

// signInOver answers a second step that has no first one. A cause that is not
// an absence is passed on.
func signInOver(err error) error {
	if err != nil && !secerr.Is(err, secerr.NotFound) {
		return err
	}
	return secerr.New(secerr.Unauthenticated, "This sign-in has expired. Start again with your password.")
}
