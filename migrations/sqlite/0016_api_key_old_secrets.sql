-- +goose Up
-- Secrets that a rotation put out of use and that still work for a while.
CREATE TABLE api_key_old_secrets (
	secret_hash BLOB PRIMARY KEY,
	api_key_id  TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
	ends_at_us  INTEGER NOT NULL
) STRICT;
CREATE INDEX api_key_old_secrets_by_key ON api_key_old_secrets (api_key_id);
CREATE INDEX api_key_old_secrets_by_end ON api_key_old_secrets (ends_at_us);
