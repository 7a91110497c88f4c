package security

import (
	"context"
	"fmt"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/device"
	"patronus.internal/dashboard/security/lockout"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/user"
)

// lockoutRules are those of the policy in force.
func (s *Service) lockoutRules() lockout.Rules {
	p := s.Policy().Lockout
	return lockout.Rules{CaptchaAfter: p.CaptchaAfter, DelayAfter: p.DelayAfter, LockAfter: p.LockAfter, LockFor: time.Duration(p.LockSecs) * time.Second}
}

// accountMAC names an account where its address should not lie.
func (s *Service) accountMAC(email string) []byte { return s.keys.MAC("login_failures", []byte(email)) }

// attempt is a sign-in on its way: whose failures it would add to, and whether
// a CAPTCHA was solved for it.
type attempt struct {
	email   string
	subject lockout.Subject
	solved  bool
}

// admit lets an attempt to sign in through to the check of its password: the
// account is not locked, nothing has to be waited for, and where a CAPTCHA is
// demanded, it was solved. An unknown address goes the same way as a known one.
// It returns secerr.AccountLocked, secerr.RateLimited or secerr.CaptchaRequired.
func (s *Service) admit(ctx context.Context, req Request, email string) (attempt, error) {
	a := attempt{email: email, subject: lockout.Subject{Account: s.accountMAC(email)}}
	err := s.write(ctx, func(tx *db.Tx) (error, error) {
		known, err := s.knownDevice(tx, req, email)
		if err != nil {
			return nil, err
		}
		if known {
			a.subject.Device = req.Device.Hash()
		}
		state, err := lockout.Load(tx, a.subject)
		if err != nil {
			return nil, err
		}
		if verdict := state.Judge(tx.Now(), s.lockoutRules()); verdict.Captcha && !verdict.Locked && verdict.Wait == 0 {
			refusal, err := s.checkCaptcha(tx, email, req.Captcha)
			a.solved = refusal == nil && err == nil
			return refusal, err
		}
		return s.stillAdmitted(tx, a)
	})
	s.noteGuarded(ctx, req, email, err)
	return a, err
}

// knownDevice reports whether a request comes from a device that signed in to
// the account before.
func (s *Service) knownDevice(r db.Reader, req Request, email string) (bool, error) {
	if !device.Genuine(req.Device, s.keys.MAC) {
		return false, nil
	}
	u, err := user.ByEmail(r, email)
	if secerr.Is(err, secerr.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return device.Known(r, u.ID, req.Device, s.now())
}

// stillAdmitted asks once more, in the transaction that tells whether the
// password was right. Attempts at once are all checked, and only so many are
// told what came of it as the rules allow; the others learn nothing, right or
// wrong.
func (s *Service) stillAdmitted(tx *db.Tx, a attempt) (refusal, err error) {
	state, err := lockout.Load(tx, a.subject)
	if err != nil {
		return nil, err
	}
	switch verdict := state.Judge(tx.Now(), s.lockoutRules()); {
	case verdict.Locked:
		return locked(verdict.Wait), nil
	case verdict.Wait > 0:
		return &secerr.Error{Code: secerr.RateLimited, RetryAfter: verdict.Wait,
			Detail: "There were several wrong passwords for this account. Wait a moment before the next try."}, nil
	case verdict.Captcha && !a.solved:
		return s.demandCaptcha(a.email, demandDetail)
	}
	return nil, nil
}

// noteGuarded records, once a minute, that an attempt was turned away before
// anything was told of its password.
func (s *Service) noteGuarded(ctx context.Context, req Request, email string, err error) {
	switch code := secerr.CodeOf(err); {
	case err == nil:
	case code == secerr.AccountLocked, code == secerr.RateLimited, code == secerr.CaptchaRequired:
		actor := req.actor()
		actor.Email = email
		s.noteRefusal(ctx, audit.LoginAttempt, actor, req.Route, string(code))
		s.suspectFailure(ctx, req, email, false)
	}
}

func locked(wait time.Duration) *secerr.Error {
	return &secerr.Error{Code: secerr.AccountLocked, RetryAfter: wait, Detail: fmt.Sprintf(
		"There were too many wrong passwords for this account. It is locked for %s. A browser that you signed in with before still lets you in, and so does a link to a new password.",
		minutes(wait))}
}

func minutes(d time.Duration) string {
	if n := int64((d + time.Minute - 1) / time.Minute); n > 1 {
		return fmt.Sprintf("%d minutes", n)
	}
	return "a minute"
}

// failed counts a wrong password, and locks when there were too many, with an
// event and a mail to the owner.
func (s *Service) failed(tx *db.Tx, req Request, a attempt, u user.User) error {
	rules := s.lockoutRules()
	isLocked, err := lockout.Failed(tx, a.subject, rules)
	if err != nil || !isLocked {
		return err
	}
	of, email := a.subject, a.email
	actor := req.actor()
	actor.UserID, actor.Email = u.ID, email
	whose := "strangers"
	if len(of.Device) > 0 {
		whose = "device"
	}
	details := audit.Details{"target_email": email, "for_secs": int64(rules.LockFor.Seconds()), "locked": whose}
	if u.ID != "" {
		details["target_user_id"] = u.ID
	}
	if err := audit.Append(tx, audit.Event{Type: audit.AccountLock, Actor: actor, Success: true, Details: details}); err != nil {
		return err
	}
	if !u.Enabled { // nobody is there to read it
		return nil
	}
	return s.post(tx, outbox.AccountLocked, email, map[string]string{"ip_address": actor.IPAddress, "minutes": minutes(rules.LockFor)}, noticeLifetime)
}

// Unlock forgets the failed sign-ins of a user: lock, wait, CAPTCHA and what is
// used up of the limit. It returns secerr.NotFound for an unknown user, and
// secerr.Forbidden for one above the caller.
func (s *Service) Unlock(ctx context.Context, c Caller, id string) error {
	return s.change(ctx, c, func(tx *db.Tx) error {
		u, err := subject(tx, c, id)
		if err != nil {
			return err
		}
		if _, err := s.unlock(tx, u); err != nil {
			return err
		}
		return record(tx, c, audit.AccountUnlock, audit.Details{"target_user_id": u.ID, "target_email": u.Email})
	})
}

// UnlockUser is Unlock as a command of the host.
func (s *Service) UnlockUser(ctx context.Context, email string) error {
	email, err := user.CanonicalEmail(email)
	if err != nil {
		return err
	}
	return s.commit(ctx, func(tx *db.Tx) error {
		u, err := user.ByEmail(tx, email)
		if err != nil {
			return err
		}
		if _, err := s.unlock(tx, u); err != nil {
			return err
		}
		return recordForHost(tx, audit.AccountUnlock, audit.Details{"target_user_id": u.ID, "target_email": u.Email})
	})
}

// unlock reports whether there was a lock. The limiters follow in every server
// with the new generation.
func (s *Service) unlock(tx *db.Tx, u user.User) (bool, error) {
	was, err := lockout.Unlock(tx, s.accountMAC(u.Email))
	if err != nil {
		return false, err
	}
	if err := user.Unlocked(tx, u.ID); err != nil {
		return false, err
	}
	_, err = revocation.Advance(tx)
	return was, err
}

// unlockedByLink lets who proved to own the mailbox in again.
func (s *Service) unlockedByLink(tx *db.Tx, req Request, u user.User) error {
	was, err := s.unlock(tx, u)
	if err != nil || !was {
		return err
	}
	actor := req.actor()
	actor.UserID, actor.Email = u.ID, u.Email
	return audit.Append(tx, audit.Event{Type: audit.AccountUnlock, Success: true, Actor: actor, Details: audit.Details{"reason": "password_reset", "target_user_id": u.ID, "target_email": u.Email}})
}

// NextCaptcha is the challenge that the next attempt for an account has to
// solve, or nil when none is demanded, so that a page can show it at once.
func (s *Service) NextCaptcha(ctx context.Context, req Request, email string) (any, error) {
	canonical, err := user.CanonicalEmail(email)
	if err != nil {
		return nil, nil // such an attempt comes to no check
	}
	r := s.db.Read(ctx)
	subject := lockout.Subject{Account: s.accountMAC(canonical)}
	known, err := s.knownDevice(r, req, canonical)
	if err != nil {
		return nil, err
	}
	if known {
		subject.Device = req.Device.Hash()
	}
	state, err := lockout.Load(r, subject)
	if err != nil || !state.Judge(s.now(), s.lockoutRules()).Captcha {
		return nil, err
	}
	refusal, err := s.demandCaptcha(canonical, "")
	if err != nil {
		return nil, err
	}
	return refusal.(*secerr.Error).Captcha, nil
}
