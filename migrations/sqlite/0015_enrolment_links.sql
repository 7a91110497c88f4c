-- +goose Up
-- One-time links that stand in for the second factor of a sign-in, by which a new
-- one is enrolled.
CREATE TABLE enrolment_links (
	token_hash    BLOB PRIMARY KEY,
	user_id       TEXT NOT NULL REFERENCES users (id),
	created_at_us INTEGER NOT NULL,
	expires_at_us INTEGER NOT NULL,
	used_at_us    INTEGER NULL
) STRICT;
CREATE INDEX enrolment_links_by_user ON enrolment_links (user_id);
