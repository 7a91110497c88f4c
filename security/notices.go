package security

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/notice"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
)

// Notice returns the notice of now, and when the caller agreed to it, if they did.
// Where there is none it is secerr.NotFound.
func (s *Service) Notice(ctx context.Context, c Caller) (n notice.Notice, acceptedAt *time.Time, err error) {
	err = s.db.Snapshot(ctx, func(r db.Reader) (err error) {
		if n, err = notice.Current(r); err != nil {
			return err
		}
		acceptedAt, err = notice.AcceptedAt(r, c.User.ID, n.Version)
		return err
	})
	return n, acceptedAt, err
}

// HasNotice reports whether there is a notice to agree to.
func (s *Service) HasNotice() bool { return s.memory.notice.Load() > 0 }

// CountConsents counts the users who may sign in, and those of them who agreed to
// a version of the notice.
func (s *Service) CountConsents(ctx context.Context, version int64) (accepted, people int, err error) {
	return notice.Count(s.db.Read(ctx), version)
}

// SetNotice puts another text in the place of the notice: from then on everybody is
// asked to agree before they go on, the caller too. An empty text takes it away. The
// text that is there already stays the version that it is. expected says whether the
// notice is the one that the caller has seen, of version 0 where there is none; nil:
// whatever it is. It returns secerr.ValidationFailed for a text that cannot be,
// secerr.PreconditionFailed for a notice that was not expected, and the notice that
// is then in force, with version 0 for none.
func (s *Service) SetNotice(ctx context.Context, c Caller, text string, expected func(notice.Notice) bool) (notice.Notice, error) {
	text, err := notice.Check(text)
	if err != nil {
		return notice.Notice{}, err
	}
	var set notice.Notice
	err = s.change(ctx, c, func(tx *db.Tx) error {
		current, err := notice.Current(tx)
		if err != nil && !secerr.Is(err, secerr.NotFound) {
			return err
		}
		if expected != nil && !expected(current) {
			return secerr.New(secerr.PreconditionFailed, "Somebody else changed the notice in the meantime. Read it again and repeat your change.")
		}
		if set = current; current.Text == text { // nothing to record
			return nil
		}
		if set, err = notice.Set(tx, text, c.User.ID); err != nil {
			return err
		}
		if _, err := revocation.Advance(tx); err != nil {
			return err
		}
		// The hash tells later what it was that people agreed to.
		hash := sha256.Sum256([]byte(text))
		details := audit.Details{"notice": "set", "terms_version": set.Version, "text_sha256": hex.EncodeToString(hash[:])}
		if text == "" {
			details, set = audit.Details{"notice": "removed", "terms_version": set.Version}, notice.Notice{}
		}
		return record(tx, c, audit.PolicyChange, details)
	})
	if err != nil {
		return notice.Notice{}, err
	}
	return set, nil
}

// AcceptNotice notes that the caller agrees to a version of the notice. Once more
// changes nothing. It returns secerr.Conflict when that is not the one of now.
func (s *Service) AcceptNotice(ctx context.Context, c Caller, version int64) error {
	if err := s.AuthorizePerson(ctx, c); err != nil {
		return err
	}
	return s.change(ctx, c, func(tx *db.Tx) error {
		first, err := notice.Accept(tx, c.User.ID, version)
		if err != nil || !first {
			return err
		}
		// Other servers ask no more, either.
		if _, err := revocation.Advance(tx); err != nil {
			return err
		}
		return record(tx, c, audit.Consent, audit.Details{"terms_version": version, "accepted_at": audit.Time(tx.Now())})
	})
}
