-- +goose Up
-- What is personal in an event can be erased while the rest stays verifiable: the
-- leaf of the event holds salted hashes in its place. A seal is what they take: 16
-- bytes of salt or, once the fields are erased, the hashes themselves.
ALTER TABLE audit_events ADD COLUMN personal_details TEXT NULL; -- a JSON object, the part of the details that tells of a person
ALTER TABLE audit_events ADD COLUMN actor_seal BLOB NULL; -- of e-mail, address and user agent
ALTER TABLE audit_events ADD COLUMN details_seal BLOB NULL; -- of personal_details
-- The events that recorded the erasures.
ALTER TABLE audit_events ADD COLUMN actor_erased_by INTEGER NULL;
ALTER TABLE audit_events ADD COLUMN details_erased_by INTEGER NULL;

-- A leaf says the time as people see it, in milliseconds.
UPDATE audit_events SET time_us = time_us / 1000 * 1000;

-- The Merkle tree over the events (RFC 6962), as tiles (C2SP tlog-tiles): up to 256
-- hashes a row, of SHA-256, one after the other.
CREATE TABLE audit_tiles (
	level  INTEGER NOT NULL,
	tile   INTEGER NOT NULL,
	hashes BLOB NOT NULL,
	PRIMARY KEY (level, tile)
) STRICT;

-- The tree as it is, signed (C2SP tlog-checkpoint), made anew with every batch.
CREATE TABLE audit_head (
	id         INTEGER PRIMARY KEY CHECK (id = 1),
	checkpoint TEXT NOT NULL
) STRICT;

-- Heads that are kept, to compare with.
CREATE TABLE audit_checkpoints (
	size       INTEGER PRIMARY KEY,
	checkpoint TEXT NOT NULL,
	made_at_us INTEGER NOT NULL
) STRICT;

-- Events that somebody put behind the signed head, moved out of the way. This
-- program did not write them.
CREATE TABLE audit_strays (
	found_at_us      INTEGER NOT NULL,
	seq              INTEGER NOT NULL,
	time_us          INTEGER NOT NULL,
	event_type       TEXT NOT NULL,
	severity         TEXT NOT NULL,
	success          INTEGER NOT NULL,
	user_id          TEXT NULL,
	email            TEXT NULL,
	ip_address       TEXT NULL,
	user_agent       TEXT NULL,
	session_id       TEXT NULL,
	api_key_id       TEXT NULL,
	request_id       TEXT NULL,
	details          TEXT NOT NULL,
	personal_details TEXT NULL,
	actor_seal       BLOB NULL,
	details_seal     BLOB NULL
) STRICT;

-- How many events each hour had. Nothing that is shown counts the events.
CREATE TABLE audit_counts (
	hour_us    INTEGER NOT NULL, -- its beginning
	event_type TEXT NOT NULL,
	severity   TEXT NOT NULL,
	success    INTEGER NOT NULL,
	events     INTEGER NOT NULL,
	PRIMARY KEY (hour_us, event_type, severity, success)
) STRICT;
INSERT INTO audit_counts (hour_us, event_type, severity, success, events)
SELECT time_us / 3600000000 * 3600000000, event_type, severity, success, COUNT(*) FROM audit_events GROUP BY 1, 2, 3, 4;

-- Which events an hour had, so that a time becomes a range of numbers.
CREATE TABLE audit_hours (
	hour_us   INTEGER PRIMARY KEY,
	first_seq INTEGER NOT NULL,
	last_seq  INTEGER NOT NULL
) STRICT;
INSERT INTO audit_hours (hour_us, first_seq, last_seq)
SELECT time_us / 3600000000 * 3600000000, MIN(seq), MAX(seq) FROM audit_events GROUP BY 1;
