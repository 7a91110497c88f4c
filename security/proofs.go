package security

import (
	"context"
	"errors"
	"fmt"
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

// beginTree makes sure that the log has a tree that can grow.
func (s *Service) beginTree(ctx context.Context) error {
	head, err := audit.Head(s.db.Read(ctx))
	if err != nil || head != "" {
		return err
	}
	if err := s.db.Write(ctx, s.tree.Begin); err != nil {
		if gone, ok := errors.AsType[*audit.MissingTileError](err); ok {
			return fmt.Errorf("the tree of the audit log is damaged: %w. Put a backup of the database in its place", gone)
		}
		return err
	}
	return nil
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
