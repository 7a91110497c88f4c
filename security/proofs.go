package security

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
)

// auditName is the name of the log in its signed heads: where it can be read,
// without the scheme (C2SP tlog-checkpoint).
func auditName(public *url.URL) string {
	name := public.Host + strings.TrimSuffix(public.EscapedPath(), "/") + "/audit"
	return strings.ReplaceAll(name, "+", "-") // a plus ends a name in a key
}

// beginTree makes sure that the log has a tree that can grow. A log that had a head
// and has none any more gets no other: whoever removed it would have this program
// sign whatever stands there now.
func (s *Service) beginTree(ctx context.Context) error {
	r := s.db.Read(ctx)
	head, err := audit.Head(r)
	if err != nil {
		return err
	}
	if head == "" {
		var used bool
		if err := r.QueryRow("SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM audit_events)").Scan(&used); err != nil {
			return err
		}
		if used && s.keys.AuditBegun() {
			return &audit.BrokenError{Why: "it has no signed head, and had one"}
		}
		if err := s.db.Write(ctx, s.tree.Begin); err != nil {
			return err
		}
	}
	if err := s.tree.Check(r); err != nil {
		if broken, ok := errors.AsType[*audit.BrokenError](err); ok {
			return broken
		}
		return err
	}
	if s.keys.AuditBegun() {
		return nil
	}
	return s.keys.MarkAuditBegun()
}

// AuditKey is the public key of the log, in the form that `audit verify` and other
// verifiers of signed notes take.
func (s *Service) AuditKey() string { return s.keys.AuditVerifierKey() }

// Checkpoint is the newest signed head of the log (C2SP tlog-checkpoint). There is
// always one.
func (s *Service) Checkpoint(ctx context.Context) (string, error) {
	return audit.Head(s.db.Read(ctx))
}

// Proof proves one event against the newest head. It returns secerr.NotFound as
// Event does.
func (s *Service) Proof(ctx context.Context, c Caller, seq int64) (audit.Proof, error) {
	if _, err := s.Event(ctx, c, seq); err != nil {
		return audit.Proof{}, err
	}
	var proof audit.Proof
	err := s.db.Snapshot(ctx, func(r db.Reader) (err error) {
		proof, err = audit.Prove(r, s.tree.Verifier(), seq)
		return err
	})
	return proof, err
}
