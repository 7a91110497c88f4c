-- +goose Up
-- Secrets that a rotation put out of use and that still work for a while.
CREATE TABLE api_key_old_secrets (
	secret_hash BLOB PRIMARY KEY,
	api_key_id  TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
	ends_at_us  INTEGER NOT NULL
) STRICT;
CREATE INDEX api_key_old_secrets_by_key ON api_key_old_secrets (api_key_id);
CREATE INDEX api_key_old_secrets_by_end ON api_key_old_secrets (ends_at_us);

-- When its owner was told by mail that the key expires soon.
ALTER TABLE api_keys ADD COLUMN expiry_mailed_at_us INTEGER NULL;
CREATE INDEX api_keys_by_expiry ON api_keys (expires_at_us)
	WHERE expires_at_us IS NOT NULL AND revoked_at_us IS NULL AND expiry_mailed_at_us IS NULL;
