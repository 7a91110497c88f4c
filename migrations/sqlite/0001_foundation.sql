-- +goose Up
-- Times are microseconds since the epoch in UTC (*_us). Ids are UUIDv7 as text.
-- What a client holds (cookies, tokens, keys, codes) is stored as its SHA-256.

-- +goose StatementBegin
-- Marks the file as ours ("PATR"), so that another program's is never touched.
PRAGMA application_id = 1346458706;
-- +goose StatementEnd

CREATE TABLE users (
	id                     TEXT PRIMARY KEY,
	email                  TEXT NOT NULL UNIQUE, -- canonical
	role                   TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'viewer', 'user')),
	enabled                INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
	password_hash          TEXT NULL, -- Argon2id; none until the first password is set
	password_changed_at_us INTEGER NULL,
	created_at_us          INTEGER NOT NULL,
	last_login_at_us       INTEGER NULL,
	-- Wrong second-factor codes and since when they are counted. They belong to
	-- the account, so that no new sign-in renews the budget.
	code_failures          INTEGER NOT NULL DEFAULT 0,
	code_failures_since_us INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE sessions (
	id              TEXT PRIMARY KEY,
	user_id         TEXT NOT NULL REFERENCES users (id),
	kind            TEXT NOT NULL CHECK (kind IN ('browser', 'api')),
	stage           TEXT NOT NULL CHECK (stage IN ('second_factor', 'full')),
	secret_hash     BLOB NOT NULL UNIQUE,
	amr             TEXT NOT NULL, -- RFC 8176 values, a space between
	ip_address      TEXT NULL,
	user_agent      TEXT NULL,
	created_at_us   INTEGER NOT NULL,
	last_seen_at_us INTEGER NOT NULL,
	expires_at_us   INTEGER NOT NULL,
	ended_at_us     INTEGER NULL,
	end_reason      TEXT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id, ended_at_us);
CREATE INDEX sessions_by_expiry ON sessions (expires_at_us);

CREATE TABLE api_keys (
	id              TEXT PRIMARY KEY,
	user_id         TEXT NOT NULL REFERENCES users (id),
	name            TEXT NOT NULL,
	key_prefix      TEXT NOT NULL, -- for people; the key is found by its hash
	secret_hash     BLOB NOT NULL UNIQUE,
	scopes          TEXT NOT NULL, -- a JSON array
	networks        TEXT NOT NULL, -- a JSON array of CIDRs; empty: usable from anywhere
	created_at_us   INTEGER NOT NULL,
	expires_at_us   INTEGER NULL,
	last_used_at_us INTEGER NULL,
	last_used_ip    TEXT NULL,
	revoked_at_us   INTEGER NULL
) STRICT;
CREATE INDEX api_keys_by_user ON api_keys (user_id, id);

CREATE TABLE mfa_factors (
	id                TEXT PRIMARY KEY,
	user_id           TEXT NOT NULL REFERENCES users (id),
	kind              TEXT NOT NULL CHECK (kind IN ('totp', 'passkey')),
	name              TEXT NOT NULL,
	secret_ciphertext BLOB NOT NULL, -- AES-256-GCM, bound to this row
	last_used_step    INTEGER NOT NULL DEFAULT 0, -- RFC 6238 T: never accepted again, nor an earlier one
	created_at_us     INTEGER NOT NULL,
	-- While the enrollment is pending: the session that began it, which alone
	-- sees the secret and may verify it. Another may be a thief's.
	begun_by_session  TEXT NULL,
	verified_at_us    INTEGER NULL, -- none while the enrollment is pending
	last_used_at_us   INTEGER NULL
) STRICT;
CREATE INDEX mfa_factors_by_user ON mfa_factors (user_id);
-- One enrollment at a time.
CREATE UNIQUE INDEX mfa_factors_pending ON mfa_factors (user_id) WHERE kind = 'totp' AND verified_at_us IS NULL;

CREATE TABLE backup_codes (
	user_id       TEXT NOT NULL REFERENCES users (id),
	code_hash     BLOB NOT NULL,
	created_at_us INTEGER NOT NULL,
	used_at_us    INTEGER NULL,
	PRIMARY KEY (user_id, code_hash)
) STRICT;

CREATE TABLE password_links (
	token_hash    BLOB PRIMARY KEY,
	user_id       TEXT NOT NULL REFERENCES users (id),
	purpose       TEXT NOT NULL CHECK (purpose IN ('invite', 'reset')),
	created_at_us INTEGER NOT NULL,
	expires_at_us INTEGER NOT NULL,
	used_at_us    INTEGER NULL
) STRICT;
CREATE INDEX password_links_by_user ON password_links (user_id);

-- Fresh confirmations of critical operations.
CREATE TABLE nonces (
	nonce_hash    BLOB PRIMARY KEY,
	user_id       TEXT NOT NULL REFERENCES users (id),
	session_id    TEXT NULL,
	api_key_id    TEXT NULL,
	action        TEXT NOT NULL,
	expires_at_us INTEGER NOT NULL,
	used_at_us    INTEGER NULL
) STRICT;
CREATE INDEX nonces_by_expiry ON nonces (expires_at_us);

-- One row, absent until somebody changes a setting.
CREATE TABLE policy (
	id            INTEGER PRIMARY KEY CHECK (id = 1),
	version       INTEGER NOT NULL,
	document      TEXT NOT NULL, -- JSON
	updated_at_us INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_events (
	seq        INTEGER PRIMARY KEY, -- without gaps
	time_us    INTEGER NOT NULL,
	event_type TEXT NOT NULL,
	severity   TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
	success    INTEGER NOT NULL CHECK (success IN (0, 1)),
	user_id    TEXT NULL,
	email      TEXT NULL,
	ip_address TEXT NULL,
	user_agent TEXT NULL,
	session_id TEXT NULL,
	api_key_id TEXT NULL,
	request_id TEXT NULL,
	details    TEXT NOT NULL -- a JSON object
) STRICT;
-- Only what a page filters by: each index is paid for with every event. The
-- first three grow at their right edge, which is cheap; the last two do not.
CREATE INDEX audit_events_by_time ON audit_events (time_us);
CREATE INDEX audit_events_by_type ON audit_events (event_type, seq);
CREATE INDEX audit_events_by_severity ON audit_events (severity, seq);
CREATE INDEX audit_events_by_user ON audit_events (user_id, seq);
CREATE INDEX audit_events_by_ip ON audit_events (ip_address, seq);
