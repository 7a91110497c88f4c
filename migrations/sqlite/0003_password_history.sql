-- +goose Up
-- Hashes of passwords that a user had before, so that none comes back soon.
CREATE TABLE password_history (
	id            TEXT PRIMARY KEY,
	user_id       TEXT NOT NULL REFERENCES users (id),
	password_hash TEXT NOT NULL,
	replaced_at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX password_history_by_user ON password_history (user_id, id);
