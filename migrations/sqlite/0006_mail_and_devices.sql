-- +goose Up
-- Mail on its way. A row says what to write to whom; the text, and a link in
-- it, are made when it is sent, so that no token lies here.
CREATE TABLE outbox (
	id                 TEXT PRIMARY KEY,
	kind               TEXT NOT NULL,
	recipient          TEXT NOT NULL,
	details            TEXT NOT NULL, -- a JSON object
	created_at_us      INTEGER NOT NULL,
	expires_at_us      INTEGER NOT NULL, -- not worth sending any more
	attempts           INTEGER NOT NULL DEFAULT 0,
	next_attempt_at_us INTEGER NOT NULL,
	done_at_us         INTEGER NULL,
	outcome            TEXT NULL CHECK (outcome IN ('sent', 'dropped', 'failed'))
) STRICT;
CREATE INDEX outbox_by_next_attempt ON outbox (next_attempt_at_us) WHERE done_at_us IS NULL;
CREATE INDEX outbox_by_recipient ON outbox (recipient, created_at_us);
CREATE INDEX outbox_by_done ON outbox (done_at_us);

-- Browsers and programs that a user signed in from, by the id in a cookie of
-- theirs.
CREATE TABLE devices (
	user_id          TEXT NOT NULL REFERENCES users (id),
	device_hash      BLOB NOT NULL,
	name             TEXT NOT NULL,
	ip_address       TEXT NULL,
	first_seen_at_us INTEGER NOT NULL,
	last_seen_at_us  INTEGER NOT NULL,
	PRIMARY KEY (user_id, device_hash)
) STRICT;
CREATE INDEX devices_by_last_seen ON devices (last_seen_at_us);

-- Whether the session is the first from its device and no page has said so yet.
ALTER TABLE sessions ADD COLUMN new_device INTEGER NOT NULL DEFAULT 0 CHECK (new_device IN (0, 1));
