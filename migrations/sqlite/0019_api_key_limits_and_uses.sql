-- +goose Up
-- The limit of a key's own, beside that of the policy: all three or none.
ALTER TABLE api_keys ADD COLUMN limit_requests INTEGER NULL;
ALTER TABLE api_keys ADD COLUMN limit_window_secs INTEGER NULL;
ALTER TABLE api_keys ADD COLUMN limit_burst INTEGER NULL;

-- Which permissions a key used, as far as a day tells: what it needs of its scopes.
CREATE TABLE api_key_uses (
	api_key_id       TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
	permission       TEXT NOT NULL, -- resource:action
	first_used_on_us INTEGER NOT NULL, -- the moment in which the day began, UTC
	last_used_on_us  INTEGER NOT NULL,
	PRIMARY KEY (api_key_id, permission)
) STRICT;

-- Keys that are long over are looked for every minute.
CREATE INDEX api_keys_by_revocation ON api_keys (revoked_at_us) WHERE revoked_at_us IS NOT NULL;
CREATE INDEX api_keys_by_end ON api_keys (expires_at_us) WHERE expires_at_us IS NOT NULL;
