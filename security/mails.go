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
	// command of the host, or a server that died, may have left something.
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

// deliverDue sends all that is due.
func (s *Service) deliverDue(ctx context.Context) error {
	for {
		var m outbox.Message
		var text mail.Message
		var found bool
		err := s.commit(ctx, func(tx *db.Tx) (err error) {
			if m, found, err = outbox.Claim(tx); err != nil || !found {
				return err
			}
			text, err = s.compose(tx, m)
			if secerr.Is(err, secerr.NotFound) { // nobody is there to read it
				text.To = ""
				return outbox.Done(tx, m.ID, outbox.Dropped)
			}
			return err
		})
		if err != nil || !found {
			return err
		}
		if text.To == "" {
			continue
		}
		if err := s.deliver(ctx, m, text); err != nil {
			return err
		}
	}
}

// deliver makes one attempt and notes what became of it. An attempt that was
// cut off by the end of the program is made again by the next one.
func (s *Service) deliver(ctx context.Context, m outbox.Message, text mail.Message) error {
	sending := s.mailer.Send(ctx, text)
	if sending != nil && ctx.Err() != nil {
		return errors.Join(sending, ctx.Err())
	}
	return s.commit(ctx, func(tx *db.Tx) error {
		switch {
		case sending == nil:
			return outbox.Done(tx, m.ID, outbox.Sent)
		case mail.Permanent(sending):
			s.log.ErrorContext(ctx, "a mail was refused for good", "kind", string(m.Kind), "id", m.ID, "error", sending)
			return outbox.Done(tx, m.ID, outbox.Failed)
		}
		s.log.WarnContext(ctx, "a mail could not be sent and is tried again", "kind", string(m.Kind), "id", m.ID, "attempt", m.Attempts, "error", sending)
		return outbox.Retry(tx, m)
	})
}

// compose writes the text of a message. A link in it is made now, and is the
// only good one of the user. secerr.NotFound means that there is no reader.
func (s *Service) compose(tx *db.Tx, m outbox.Message) (mail.Message, error) {
	u, err := user.ByEmail(tx, m.Recipient)
	if err != nil {
		return mail.Message{}, err
	}
	if !u.Enabled {
		return mail.Message{}, secerr.New(secerr.NotFound, "The user is disabled.")
	}
	text := mail.Message{ID: m.ID, To: u.Email}
	host := s.publicURL.Hostname()
	when := m.CreatedAt.UTC().Format("2 January 2006, 15:04 UTC")
	notYou := "\n\nIf it was not you: change your password, which signs everybody else out, and\ntell your admin.\n\n" + s.publicURL.JoinPath("account").String()
	var lines string
	switch m.Kind {
	case outbox.PasswordReset:
		token, err := user.IssueLink(tx, s.rand, u.ID, user.Reset, ResetLifetime)
		if err != nil {
			return mail.Message{}, err
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
	default:
		return mail.Message{}, errors.New("security: a message of an unknown kind: " + string(m.Kind))
	}
	text.Body = lines + "\n"
	return text, nil
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
