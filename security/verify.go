package security

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/keyring"
)

// AuditKeyOf is the public key of the log of a data folder.
func AuditKeyOf(dataDir string) (string, error) {
	return keyring.AuditVerifierKey(filepath.Join(dataDir, "keys.json"))
}

// VerifyLog checks the log of a data folder, or of a copy of one, by its public
// key. It needs no server and changes nothing. The head that was put beside the
// database is one of the witnesses, and so is one that moved aside. The error is an
// *audit.Finding when the log is not as it was written, and another where a witness
// is of no use, or the tables are not those of this program.
func VerifyLog(ctx context.Context, dataDir, publicKey string, witnesses ...audit.Witness) (report audit.Report, err error) {
	verifier, err := verifierOf(publicKey)
	if err != nil {
		return report, err
	}
	file, err := db.OpenReadOnly(ctx, filepath.Join(dataDir, "patronus.db"))
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// The heads are read before the database: they may only be older.
	beside, err := os.ReadDir(dataDir)
	if err != nil {
		return report, err
	}
	for _, entry := range beside {
		if !strings.HasPrefix(entry.Name(), witnessFile) {
			continue
		}
		signed, err := os.ReadFile(filepath.Join(dataDir, entry.Name()))
		if err != nil {
			return report, fmt.Errorf("a checkpoint beside the database cannot be read: %w", err)
		}
		witnesses = append(witnesses, audit.Witness{Name: "the checkpoint in " + entry.Name(), Signed: string(signed)})
	}
	err = file.Snapshot(ctx, func(r db.Reader) error {
		report, err = audit.Verify(r, verifier, witnesses...)
		return err
	})
	if err != nil {
		return report, err
	}
	// What is asked for is answered from indexes.
	return report, file.CheckTables(ctx)
}

// VerifyExport checks an NDJSON export by the public key alone.
func VerifyExport(file io.Reader, publicKey string, witnesses ...audit.Witness) (audit.Report, error) {
	verifier, err := verifierOf(publicKey)
	if err != nil {
		return audit.Report{}, err
	}
	return audit.VerifyExport(file, verifier, witnesses...)
}

func verifierOf(publicKey string) (note.Verifier, error) {
	verifier, err := note.NewVerifier(strings.TrimSpace(publicKey))
	if err != nil {
		return nil, errors.New("this is no public key of an audit log. It is one line, name+hash+key, as `dashboard audit public-key` prints it")
	}
	return verifier, nil
}
