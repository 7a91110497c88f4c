package keyring

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var noRecord = func(string) error { return nil }

// TestRotation: a running server takes the new key up, still checks what the
// older one signed, and drops it when nothing that it signed is left.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := Options{Keep: time.Hour, Now: func() time.Time { return now }, Rand: rand.Reader}
	r, err := Load(path, o)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := r.Signing()
	sealed, err := r.Seal([]byte("plain"), "t", "c", "r")
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Reload(); changed || err != nil {
		t.Errorf("nothing has changed: %v, %v", changed, err)
	}
	second, err := Rotate(path, o, false, noRecord)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Reload(); !changed || err != nil {
		t.Fatalf("the new keys are not read: %v, %v", changed, err)
	}
	if kid, _ := r.Signing(); kid != second || kid == first {
		t.Errorf("signs with %s", kid)
	}
	if _, known := r.SigningKey(first); !known {
		t.Error("the older key is gone")
	}
	if _, err := r.Open(sealed, "t", "c", "r"); err != nil {
		t.Error(err)
	}
	now = now.Add(time.Hour)
	if _, known := r.SigningKey(first); known {
		t.Error("a key checks tokens longer than any of its is good")
	}
	if _, err := Rotate(path, o, false, noRecord); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, known := r.SigningKey(first); known {
		t.Error("a key that signed nothing that is left is kept")
	}
	if _, known := r.SigningKey(second); !known {
		t.Error("the key of a moment ago is gone")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestRotationThatCannotBeRecordedChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	load(t, path)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("no room")
	if _, err := Rotate(path, Options{Keep: time.Hour, Now: time.Now, Rand: rand.Reader}, false, func(string) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("%v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file changed, %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v is left, %v", files, err)
	}
}

// TestRotationsAtOnce: each adds its key, none takes another's away.
func TestRotationsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	r := load(t, path)
	kids := make([]string, 20)
	var wg sync.WaitGroup
	for i := range kids {
		wg.Go(func() {
			kid, err := Rotate(path, Options{Keep: time.Hour, Now: time.Now, Rand: rand.Reader}, false, noRecord)
			if err != nil {
				t.Error(err)
			}
			kids[i] = kid
		})
	}
	wg.Wait()
	if _, err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, kid := range kids {
		if _, known := r.SigningKey(kid); !known {
			t.Errorf("%s is lost", kid)
		}
	}
}

// TestReloadKeepsTheKeysOfADamagedFile: a mistake in the file does not stop a
// server that runs.
func TestReloadKeepsTheKeysOfADamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	r := load(t, path)
	kid, _ := r.Signing()
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reload(); err == nil {
		t.Error("a damaged file is taken")
	}
	if now, _ := r.Signing(); now != kid {
		t.Error("the keys are gone")
	}
}

// TestRotationAfterALeak: nothing that the old keys signed counts any more.
func TestRotationAfterALeak(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	r := load(t, path)
	leaked, _ := r.Signing()
	if _, err := Rotate(path, Options{Keep: time.Hour, Now: time.Now, Rand: rand.Reader}, true, noRecord); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, known := r.SigningKey(leaked); known {
		t.Error("the key that leaked checks tokens")
	}
}

// TestRotationThroughALink: where keys.json is a link, it is the file behind it
// that is replaced.
func TestRotationThroughALink(t *testing.T) {
	real, path := filepath.Join(t.TempDir(), "real.json"), filepath.Join(t.TempDir(), "keys.json")
	load(t, real)
	if err := os.Symlink(real, path); err != nil {
		t.Fatal(err)
	}
	kid, err := Rotate(path, Options{Keep: time.Hour, Now: time.Now, Rand: rand.Reader}, false, noRecord)
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := load(t, real).Signing(); now != kid {
		t.Error("the file behind the link has the old key")
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone, %v", err)
	}
}

// TestLeftoversAreRemoved: keys of a program that died do not lie around.
func TestLeftoversAreRemoved(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	load(t, path)
	if err := os.WriteFile(filepath.Join(dir, ".keys-123"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	later := Options{Keep: time.Hour, Now: func() time.Time { return time.Now().Add(time.Hour) }, Rand: rand.Reader}
	if _, err := Rotate(path, later, false, noRecord); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v are left, %v", files, err)
	}
}
