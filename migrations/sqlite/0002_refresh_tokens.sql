-- +goose Up
-- Refresh tokens that were exchanged for a new one. One of these presented
-- again tells that two hold it. The current one is sessions.secret_hash.
CREATE TABLE spent_refresh_tokens (
	token_hash BLOB PRIMARY KEY,
	session_id TEXT NOT NULL REFERENCES sessions (id),
	spent_at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX spent_refresh_tokens_by_session ON spent_refresh_tokens (session_id);
