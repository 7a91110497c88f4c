package security

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"patronus.internal/dashboard/security/audit"
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
