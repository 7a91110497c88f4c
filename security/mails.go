package security

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/mail"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/user"
)

// Mailer sends one message, or says why not. mail.Permanent tells whether to
// try again.
type Mailer interface {
	Send(ctx context.Context, m mail.Message) error
}

const (
	// noticeLifetime is how long it is worth telling somebody what happened.
	noticeLifetime = 24 * time.Hour
	// deliverEvery is how often the outbox is looked into without a call: a
	// server that died may have left something.
	deliverEvery = time.Minute
)

// post puts a message in the outbox in the transaction of what it tells of.
// Without a mailer there is no outbox.
func (s *Service) post(tx *db.Tx, kind outbox.Kind, to string, details map[string]string, lifetime time.Duration) error {
	if s.mailer == nil {
		return nil
	}
	added, err := outbox.Add(tx, kind, to, details, lifetime)
	if err == nil && !added {
		s.log.Info("a mail is left out: the address got several of its kind just now", "kind", string(kind))
	}
	return err
}

// deliverSoon wakes Deliver after a commit that may have posted something.
func (s *Service) deliverSoon() {
	select {
	case s.mailed <- struct{}{}:
	default: // it is awake
	}
}

// Deliver sends what is in the outbox until ctx ends. A message that cannot be
// sent now is tried again, also after a restart.
func (s *Service) Deliver(ctx context.Context) {
	if s.mailer == nil {
		return
	}
	for ctx.Err() == nil {
		wait := deliverEvery
		if err := s.deliverDue(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "the outbox could not be emptied", "error", err)
		} else if next, waits, err := outbox.NextDue(s.db.Read(ctx)); err == nil && waits {
			wait = min(max(next.Sub(s.now()), time.Second), deliverEvery)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.mailed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// dropBatch is how many requests for a link that have no reader are crossed out
// in one commit: a flood of made-up addresses must not hold up what is real.
const dropBatch = 1000

// deliverDue sends all that is due.
func (s *Service) deliverDue(ctx context.Context) error {
	for {
		var m outbox.Message
		var text letter
		var found bool
		err := s.commit(ctx, func(tx *db.Tx) (err error) {
			if err := s.clearOutbox(ctx, tx); err != nil {
				return err
			}
			if m, found, err = outbox.Claim(tx); err != nil || !found {
				return err
			}
			text, err = s.compose(tx, m)
			switch {
			case secerr.Is(err, secerr.NotFound): // nobody is there to read it
				return outbox.Done(tx, m.ID, outbox.Dropped)
			case errors.Is(err, errUnwritable): // it must not stop those behind it
				s.log.ErrorContext(ctx, "a mail cannot be written", "kind", string(m.Kind), "id", m.ID)
				return outbox.Done(tx, m.ID, outbox.Failed)
			}
			return err
		})
		if err != nil || !found {
			return err
		}
		if text.message.To == "" {
			continue
		}
		if err := s.deliver(ctx, m, text); err != nil {
			return err
		}
	}
}

// clearOutbox crosses out what is too old and what has no reader.
func (s *Service) clearOutbox(ctx context.Context, tx *db.Tx) error {
	expired, err := outbox.Expire(tx)
	if err != nil {
		return err
	}
	if expired > 0 {
		s.log.ErrorContext(ctx, "mails could not be sent in time and are given up", "count", expired)
	}
	_, err = tx.Exec(`UPDATE outbox SET done_at_us = $1, outcome = 'dropped' WHERE id IN (SELECT id FROM outbox
		WHERE done_at_us IS NULL AND next_attempt_at_us <= $1 AND kind = $2
			AND NOT EXISTS (SELECT 1 FROM users WHERE email = outbox.recipient AND enabled = 1) LIMIT $3)`,
		db.Micros(tx.Now()), string(outbox.PasswordReset), dropBatch)
	return err
}

// letter is a message with the secret in it, so that no log shows it.
type letter struct {
	message mail.Message
	token   secret.Text
}

// deliver makes one attempt and notes what became of it. An attempt that was
// cut off by the end of the program is made again by the next one.
func (s *Service) deliver(ctx context.Context, m outbox.Message, text letter) error {
	sending := s.mailer.Send(ctx, text.message)
	if sending != nil && ctx.Err() != nil {
		return errors.Join(sending, ctx.Err())
	}
	// What was sent is noted also when the program is ending, or it would be
	// sent again, and its link would be dead.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	return s.commit(noting, func(tx *db.Tx) error {
		switch {
		case sending == nil:
			return outbox.Done(tx, m.ID, outbox.Sent)
		case mail.Permanent(sending):
			s.log.ErrorContext(ctx, "a mail was refused for good", "kind", string(m.Kind), "id", m.ID, "error", text.without(sending))
			return outbox.Done(tx, m.ID, outbox.Failed)
		}
		s.log.WarnContext(ctx, "a mail could not be sent and is tried again", "kind", string(m.Kind), "id", m.ID, "attempt", m.Attempts, "error", text.without(sending))
		return outbox.Retry(tx, m)
	})
}

// without is what a mail server said, which may quote the message.
func (l letter) without(err error) string {
	if l.token.Empty() {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), l.token.Reveal(), "[hidden]")
}

var errUnwritable = errors.New("security: a message of an unknown kind")

// compose writes the text of a message. A link in it is made now, and is the
// only one of the user that is good. secerr.NotFound means that there is no
// reader.
func (s *Service) compose(tx *db.Tx, m outbox.Message) (letter, error) {
	u, err := user.ByEmail(tx, m.Recipient)
	if err != nil {
		return letter{}, err
	}
	if !u.Enabled {
		return letter{}, secerr.New(secerr.NotFound, "The user is disabled.")
	}
	var token secret.Text
	text := mail.Message{ID: m.ID, To: u.Email}
	host := s.publicURL.Hostname()
	when := m.CreatedAt.UTC().Format("2 January 2006, 15:04 UTC")
	notYou := "\n\nIf it was not you: change your password, which signs everybody else out, and\ntell your admin.\n\n" + s.publicURL.JoinPath("account").String()
	var lines string
	switch m.Kind {
	case outbox.Invitation:
		if !u.PasswordHash.Empty() {
			return letter{}, secerr.New(secerr.NotFound, "The user has a password already.")
		}
		if token, err = user.IssueLink(tx, s.rand, user.Link{UserID: u.ID, Purpose: user.Invite, Lifetime: invitationLifetime}); err != nil {
			return letter{}, err
		}
		text.Subject = "Your account at " + host
		lines = "An admin made an account for you at " + host + ".\nOpen this link to set your password; it is good once, for 24 hours:\n\n" +
			s.link("/reset-password", token) +
			"\n\nIf you do not expect this, do nothing: without a password nobody can sign in."
	case outbox.PasswordReset:
		if token, err = user.IssueLink(tx, s.rand, user.Link{UserID: u.ID, Purpose: user.Reset, Lifetime: ResetLifetime}); err != nil {
			return letter{}, err
		}
		text.Subject = "Set a new password"
		lines = "Somebody asked for a new password for your account at " + host + ".\nOpen this link to set one; it is good once, for 30 minutes:\n\n" +
			s.link("/reset-password", token) +
			"\n\nIf it was not you, do nothing: without the link nothing changes."
	case outbox.PasswordChanged:
		text.Subject = "Your password was changed"
		lines = "The password of your account at " + host + " was changed.\n\nTime: " + when + notYou
	case outbox.FactorsRemoved:
		text.Subject = "Your second factor was removed"
		lines = "A second factor of your account at " + host + " was removed.\n\nTime: " + when + notYou
	case outbox.NewDevice:
		text.Subject = "Sign-in from a new device"
		lines = "Your account at " + host + " was used from a device that it did not know.\n\nTime: " + when +
			"\nDevice: " + plain(m.Details["device"]) + "\nAddress: " + m.Details["ip_address"] + notYou
	case outbox.AccountLocked:
		text.Subject = "Your account is locked for a while"
		lines = "There were too many wrong passwords for your account at " + host + ", so nobody new can\nsign in for " +
			m.Details["minutes"] + ".\n\nTime: " + when + "\nAddress of the last try: " + m.Details["ip_address"] +
			"\n\nIf it was you: a browser that you signed in with before still lets you in, and a\nlink to a new password does too:\n\n" +
			s.publicURL.JoinPath("forgot-password").String() +
			"\n\nIf it was not you: your password was not guessed, and nothing else has happened."
	case outbox.KeyExpires:
		text.Subject = "Your API key expires soon"
		if lines, err = s.expiryLines(tx, u, m.Details["api_key_id"]); err != nil {
			return letter{}, err
		}
	default:
		return letter{}, errUnwritable
	}
	text.Body = lines + "\n"
	return letter{text, token}, nil
}

// plain is what a client calls itself, without what a mail program would make a
// link of.
func plain(text string) string {
	cleaned := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return ' '
	}, text)
	if runes := []rune(cleaned); len(runes) > 60 {
		cleaned = string(runes[:60])
	}
	return strings.Join(strings.Fields(cleaned), " ")
}
