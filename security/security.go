package security

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"patronus.internal/dashboard/security/anomaly"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/ipblock"
	"patronus.internal/dashboard/security/keyring"
	"patronus.internal/dashboard/security/password"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/token"
)

// Options is what a Service is opened with.
type Options struct {
	// DataDir is the folder of patronus.db and keys.json, made with mode 0700
	// when it is absent.
	DataDir string
	// PublicURL is where people reach the dashboard: the issuer of tokens and
	// the start of every link.
	PublicURL *url.URL
	// Hashing sets the cost of passwords; its zero value is the default of
	// package password. Tests use a cheap one.
	Hashing password.Options
	// Mail sends what is written to people; without it nothing is.
	Mail Mailer
	// TrustedProxies are never blocked by themselves.
	TrustedProxies []netip.Prefix
	// ArchiveDir is where events are written before retention removes them;
	// without it they are only removed.
	ArchiveDir string
	// Places finds the country of an address; without it the rules about places
	// are left out.
	Places Places
	// AnyPolicy opens with the default in the place of a stored policy that cannot
	// be used. It is for the command that puts such a one right, and for no server.
	AnyPolicy bool
	Now       func() time.Time // default time.Now
	Rand      io.Reader        // default crypto/rand
	Log       *slog.Logger     // default slog.Default()
}

// Service is the whole of what the dashboard decides and stores. It is safe
// for concurrent use.
type Service struct {
	db        *db.DB
	tree      *audit.Tree
	keys      *keyring.Ring
	keyFile   string
	witness   string      // the file of the head of the log
	serving   atomic.Bool // as a server, and not as a command of the host
	closed    atomic.Bool
	wrote     atomic.Bool // something, so that the log may have another head
	tokens    *token.Issuer
	hasher    *password.Hasher
	publicURL *url.URL
	now       func() time.Time
	rand      io.Reader
	log       *slog.Logger

	erasing    sync.Mutex
	archiveDir string
	alarmed    atomic.Bool // that old events were changed was told
	leftovers  atomic.Bool // what was erased may be in the write-ahead log still

	exports exports

	mailer Mailer
	mailed chan struct{} // something was put in the outbox

	policy    atomic.Pointer[policy.Stored]
	anyPolicy bool // see Options.AnyPolicy

	memory memory
	limits limits

	refusals refusals
	feed     feed
	pushers  []*pusher // one for each sink

	tracker *anomaly.Tracker
	places  Places
	proxies []netip.Prefix
	setup   setupLink
	tally   tally
	uses    scopeUses
}

// Open makes or opens the data folder. It refuses a database or a key file
// that it cannot trust with a sentence that says what to do.
func Open(ctx context.Context, o Options) (*Service, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if err := makeDataDir(o.DataDir); err != nil {
		return nil, err
	}
	database, keyFile := filepath.Join(o.DataDir, "patronus.db"), filepath.Join(o.DataDir, "keys.json")
	if err := keysBelong(database, keyFile); err != nil {
		return nil, err
	}
	keys, err := keyring.Load(keyFile, keyring.Options{Keep: token.MaxLifetime, AuditName: auditName(o.PublicURL), Now: o.Now, Rand: o.Rand})
	if err != nil {
		return nil, err
	}
	tree, err := audit.NewTree(keys.AuditSigner(), keys.AuditVerifierKey())
	if err != nil {
		return nil, err
	}
	store, err := db.Open(ctx, db.Options{Path: database, Now: o.Now, Rand: o.Rand, Log: o.Log, BeforeCommit: tree.Grow})
	if err != nil {
		return nil, err
	}
	s := &Service{
		db: store, tree: tree, keys: keys, keyFile: keyFile, witness: filepath.Join(o.DataDir, witnessFile), archiveDir: o.ArchiveDir, hasher: password.NewHasher(o.Hashing), publicURL: o.PublicURL,
		tokens: token.NewIssuer(keys, o.PublicURL.String(), o.Now),
		now:    o.Now, rand: o.Rand, log: o.Log,
		mailer: o.Mail, mailed: make(chan struct{}, 1),
	}
	s.memory.revoked, s.memory.generation = revocation.NewSet(), -1
	s.memory.blocks = ipblock.NewTable()
	s.tracker = anomaly.NewTracker(anomaly.DefaultLimit, s.thresholds)
	s.places, s.anyPolicy = o.Places, o.AnyPolicy
	s.leftovers.Store(true) // of a process that was killed
	for _, proxy := range o.TrustedProxies {
		s.proxies = append(s.proxies, proxy.Masked())
	}
	s.limits = newLimits(policy.Default().RateLimits, o.Now)
	err = s.beginTree(ctx)
	if err == nil {
		err = s.fillSkeletons(ctx)
	}
	if err == nil {
		err = s.fresh(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return s, nil
}

// Close writes what was counted and not yet recorded, keeps the last head of the
// log of a server, lets the writer finish what it has accepted, and closes the
// database. It may be called more than once.
func (s *Service) Close(ctx context.Context) error {
	if s.closed.Swap(true) {
		return nil
	}
	err := errors.Join(s.writeTally(ctx, s.now().Add(seenInterval)), s.writeUses(ctx))
	if s.serving.Load() {
		err = errors.Join(err, s.keepCheckpoint(ctx, true))
	}
	if s.wrote.Load() {
		if failed := s.copyHead(ctx); failed != nil { // the next start finds the one from before
			s.log.ErrorContext(ctx, "the head of the audit log could not be put beside the database", "error", failed)
		}
	}
	return errors.Join(err, s.db.Close())
}

// Started records that a server began to serve, after a look at whether the log is
// the one that the last server left.
func (s *Service) Started(ctx context.Context, version string) error {
	if err := s.checkLog(ctx); err != nil {
		return err
	}
	s.serving.Store(true)
	return s.commit(ctx, func(tx *db.Tx) error {
		return audit.Append(tx, audit.Event{Type: audit.SystemStart, Success: true, Details: audit.Details{"version": version}})
	})
}

// Ready reports whether the database answers.
func (s *Service) Ready(ctx context.Context) error {
	_, err := s.db.SchemaVersion(ctx)
	return err
}

// MAC authenticates data for one purpose with a key of this installation.
func (s *Service) MAC(purpose string, data ...[]byte) []byte { return s.keys.MAC(purpose, data...) }

// Policy is the policy in force.
func (s *Service) Policy() policy.Policy { return s.policy.Load().Policy }

// write runs a change whose refusals are events too. The change returns a
// refusal in the place of doing something; what it has recorded of it is
// kept, and the refusal is answered once it is on disk. An error rolls back
// everything.
func (s *Service) write(ctx context.Context, change func(*db.Tx) (refusal, err error)) error {
	var refusal error
	err := s.commit(ctx, func(tx *db.Tx) (err error) {
		refusal, err = change(tx)
		return err
	})
	if err != nil {
		return err
	}
	return refusal
}

func roleNames() []string {
	var names []string
	for _, r := range rbac.Roles {
		names = append(names, string(r))
	}
	return names
}

// keysBelong refuses to make new keys beside a database that was written with
// others: nobody's authenticator app could be checked any more.
func keysBelong(database, keyFile string) error {
	if _, err := os.Lstat(keyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil // there they are; what is wrong with them is found by reading
	}
	if info, err := os.Stat(database); err != nil || info.Size() == 0 {
		return nil // a new installation
	}
	return fmt.Errorf("there is a database in %s, and the keys that it was written with, %s, are missing. Put the backup of the file back", filepath.Dir(keyFile), keyFile)
}

func makeDataDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the data folder %s cannot be made: this user may not write there. Choose another with --data-dir, or let its owner make it", dir)
	case err != nil:
		return fmt.Errorf("the data folder %s cannot be made: %w", dir, err)
	}
	return nil
}
