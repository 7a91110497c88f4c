-- +goose Up
-- Counts the changes to what a running server keeps in memory: a server whose
-- number is lower reads again.
CREATE TABLE generation (
	id     INTEGER PRIMARY KEY CHECK (id = 1),
	number INTEGER NOT NULL
) STRICT;
INSERT INTO generation (id, number) VALUES (1, 0);

-- What was revoked, for as long as an access token could still name it.
CREATE TABLE revocations (
	generation     INTEGER NOT NULL, -- access tokens of a lower one are dead
	kind           TEXT NOT NULL CHECK (kind IN ('token', 'session', 'user', 'everyone')),
	subject        TEXT NOT NULL, -- the id of the token, session or user; empty for everyone
	except_session TEXT NULL, -- the one session that lives on
	reason         TEXT NOT NULL,
	revoked_at_us  INTEGER NOT NULL,
	expires_at_us  INTEGER NOT NULL,
	PRIMARY KEY (generation, kind, subject)
) STRICT;
CREATE INDEX revocations_by_expiry ON revocations (expires_at_us);
