package securitytest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/keyring"
)

// AppendEvents gives the log of a data folder n events more, as a command of the
// host does beside a running server: they are in its tree.
func AppendEvents(dataDir string, n int) (err error) {
	keys, err := keyring.Load(filepath.Join(dataDir, "keys.json"), keyring.Options{Now: time.Now})
	if err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	tree, err := audit.NewTree(keys.AuditSigner(), keys.AuditVerifierKey())
	if err != nil {
		return err
	}
	d, err := db.Open(context.Background(), db.Options{Path: filepath.Join(dataDir, "patronus.db"), Log: quiet, BeforeCommit: tree.Grow})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	const atOnce = 10_000
	for begin := 0; begin < n; begin += atOnce {
		err := d.Write(context.Background(), func(tx *db.Tx) error {
			for i := begin; i < min(begin+atOnce, n); i++ {
				err := audit.Append(tx, audit.Event{Type: audit.LoginAttempt, Details: audit.Details{"reason": "wrong_password"},
					Actor: audit.Actor{Email: fmt.Sprintf("user%d@example.org", i%200), IPAddress: fmt.Sprintf("192.0.2.%d", i%250), UserAgent: "Firefox"}})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
