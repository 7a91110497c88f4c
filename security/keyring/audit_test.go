package keyring

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// TestAuditKeySignsForGood: the key is made once, its public half opens what it
// signs, and neither a rotation nor another name changes it.
func TestAuditKeySignsForGood(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	r, err := Load(path, Options{AuditName: "dashboard.example.org/audit"})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: "text\n"}, r.AuditSigner())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(path, Options{Now: r.now, Rand: rand.Reader}, true, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	again, err := Load(path, Options{AuditName: "other.example.org/audit"})
	if err != nil {
		t.Fatal(err)
	}
	fromFile, err := AuditVerifierKey(path)
	if err != nil || fromFile != r.AuditVerifierKey() || fromFile != again.AuditVerifierKey() || !strings.HasPrefix(fromFile, "dashboard.example.org/audit+") {
		t.Errorf("%q, %q and %q, %v", r.AuditVerifierKey(), again.AuditVerifierKey(), fromFile, err)
	}
	verifier, err := note.NewVerifier(fromFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		t.Error(err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "keys.json"), Options{AuditName: "a name with spaces"}); err == nil {
		t.Error("a name that no note can have is taken")
	}
}

// TestFilesFromBeforeGetAnAuditKey, one, also when several programs start at once;
// and that the log has begun is noted in the same way.
func TestFilesFromBeforeGetAnAuditKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	load(t, path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	delete(file, "audit_key")
	if data, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	rings := make([]*Ring, 10)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = Load(path, Options{}); err != nil {
				t.Error(err)
				return
			}
			if err := rings[i].MarkAuditBegun(); err != nil || !rings[i].AuditBegun() {
				t.Errorf("noted: %t, %v", rings[i].AuditBegun(), err)
			}
		})
	}
	wg.Wait()
	again := load(t, path)
	for _, r := range rings {
		if r == nil || r.AuditVerifierKey() != again.AuditVerifierKey() {
			t.Fatal("two programs have two keys")
		}
	}
	kid, key := again.Signing()
	if known, ok := rings[0].SigningKey(kid); !ok || string(known) != string(key) || !again.AuditBegun() {
		t.Error("the other keys did not stay")
	}
}
