package keyring

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// fileVersion is the form of keys.json that this program writes and reads.
const fileVersion = 1

// maxFile bounds what is read, in bytes: hundreds of keys fit.
const maxFile = 1 << 20

// Options is what a Ring is loaded with.
type Options struct {
	// Keep is how long a retired signing key still checks tokens: as long as
	// the longest of them may be good.
	Keep time.Duration
	// AuditName is the name of the audit log in its signed heads, of which the
	// key is made once; it is a URL without its scheme, as C2SP tlog-checkpoint
	// asks, and says nothing about a key that is there.
	AuditName string
	Now       func() time.Time // default time.Now
	Rand      io.Reader        // default crypto/rand
}

// Load reads keys.json, or makes it with fresh keys and mode 0600 when there is
// none; of several programs that make it at once, all get the same. A file that
// others can read, or that does not parse, is refused with a sentence.
func Load(path string, o Options) (*Ring, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	parsed, info, err := readKeys(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path, o); err != nil {
			return nil, fmt.Errorf("the keys cannot be stored in %s: %w", path, err)
		}
		parsed, info, err = readKeys(path)
	}
	if err == nil && parsed.AuditKey == "" { // written by a version without one
		if err = addAuditKey(path, o); err != nil {
			return nil, fmt.Errorf("the key of the audit log cannot be stored in %s: %w", path, err)
		}
		parsed, info, err = readKeys(path)
	}
	if err != nil {
		return nil, err
	}
	signer, verifierKey, err := parseAuditKey(parsed.AuditKey)
	if err != nil {
		return nil, err // it was parsed once, so never
	}
	return &Ring{path: path, random: o.Rand, now: o.Now, keep: o.Keep, signer: signer, verifierKey: verifierKey, state: &state{contents: parsed, file: info}}, nil
}

// Reload reads the file again if it is another than the one that was read, and
// reports whether it was. After an error the keys are those from before.
func (r *Ring) Reload() (bool, error) {
	r.state.mu.Lock()
	defer r.state.mu.Unlock()
	info, err := os.Stat(r.path)
	if err != nil {
		return false, fmt.Errorf("the keys cannot be read: %w", err)
	}
	was := r.state.file
	if os.SameFile(info, was) && info.ModTime().Equal(was.ModTime()) && info.Size() == was.Size() {
		return false, nil
	}
	parsed, info, err := readKeys(r.path)
	if err != nil {
		return false, err
	}
	r.state.contents, r.state.file = parsed, info
	return true, nil
}

func readKeys(path string) (*contents, fs.FileInfo, error) {
	data, info, err := read(path)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("the keys in %s cannot be used: %w. Put a backup of the file in its place; without its keys nobody's authenticator app can be checked", path, err)
	}
	return &parsed, info, nil
}

// read refuses a file whose keys others may know already. Where the path is a
// link, it is the file behind it that counts.
func read(path string) ([]byte, fs.FileInfo, error) {
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, fmt.Errorf("the keys %s cannot be read: this user may not. Run as the owner of the file", path)
	case err != nil:
		return nil, nil, fmt.Errorf("the keys cannot be read: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("the keys cannot be read: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("the keys %s are not a plain file", path)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return nil, nil, fmt.Errorf("the keys %s can be read by other users of this machine (mode %04o). Run: chmod 600 %s. If somebody may have read them, run: dashboard keys rotate --drop-old", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, nil, fmt.Errorf("the keys cannot be read: %w", err)
	}
	return data, info, nil
}

// parse checks the whole of a file before any key is used.
func parse(data []byte) (contents, error) {
	var c contents
	if err := json.Unmarshal(data, &c, json.RejectUnknownMembers(true)); err != nil {
		// The error may quote the file, and with it a key.
		return contents{}, errors.New("it is not JSON of the form that this program writes")
	}
	if c.Version != fileVersion {
		return contents{}, fmt.Errorf("it is of version %d, and this program knows version %d", c.Version, fileVersion)
	}
	seen := map[string]bool{}
	for _, k := range c.SigningKeys {
		if k.KID == "" || seen[k.KID] || k.Algorithm != "HS256" || len(k.Secret) != keyLength {
			return contents{}, errors.New("a signing key is not a named HS256 key of 256 bits")
		}
		seen[k.KID] = true
	}
	if c.newestSigning() == nil {
		return contents{}, errors.New("there is no signing key in use")
	}
	if len(c.EncryptionKeys) == 0 {
		return contents{}, errors.New("there is no encryption key")
	}
	for _, k := range c.EncryptionKeys {
		if len(k.ID) != idLength || seen[k.ID] || len(k.Secret) != keyLength {
			return contents{}, errors.New("an encryption key is not a named key of 256 bits")
		}
		seen[k.ID] = true
	}
	if len(c.MACKey) != keyLength {
		return contents{}, errors.New("the MAC key does not have 256 bits")
	}
	if c.AuditKey != "" {
		if _, _, err := parseAuditKey(c.AuditKey); err != nil {
			return contents{}, err
		}
	}
	return c, nil
}

// create writes fresh keys under a name of its own and then links them to the
// real one. The link fails when another program was quicker, and its file is
// whole either way.
func create(path string, o Options) (err error) {
	fresh, err := generate(o)
	if err != nil {
		return err
	}
	written, err := writeBeside(path, fresh, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(written)) }()
	if err := os.Link(written, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// writeBeside writes keys to a new file in the same folder, whole and on disk,
// and returns its name. The file belongs to the owner of like, if there is one.
func writeBeside(path string, c contents, like fs.FileInfo) (name string, err error) {
	data, err := json.Marshal(c, jsontext.Multiline(true))
	if err != nil {
		return "", err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = file.Write(append(data, '\n'))
	if like != nil {
		err = errors.Join(err, giveTo(file, like))
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// syncFolder makes the name of the file as durable as its bytes: encrypted
// values must not outlive the key.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func generate(o Options) (contents, error) {
	random := make([]byte, 3*keyLength+2*idLength/2)
	if _, err := io.ReadFull(o.Rand, random); err != nil {
		return contents{}, fmt.Errorf("draw keys: %w", err)
	}
	take := func(n int) []byte {
		taken := random[:n:n]
		random = random[n:]
		return taken
	}
	auditKey, err := newAuditKey(o)
	if err != nil {
		return contents{}, err
	}
	now := o.Now().UTC().Truncate(time.Second)
	return contents{
		Version:        fileVersion,
		SigningKeys:    []signingKey{{KID: hex.EncodeToString(take(idLength / 2)), Algorithm: "HS256", Secret: take(keyLength), CreatedAt: now}},
		EncryptionKeys: []encryptionKey{{ID: hex.EncodeToString(take(idLength / 2)), Secret: take(keyLength), CreatedAt: now}},
		MACKey:         take(keyLength),
		AuditKey:       auditKey,
	}, nil
}
