-- +goose Up
-- Networks that an API key was used from.
CREATE TABLE api_key_networks (
	api_key_id       TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
	network          TEXT NOT NULL,
	first_seen_at_us INTEGER NOT NULL,
	PRIMARY KEY (api_key_id, network)
) STRICT;

-- When the failed sign-ins of a user were last forgotten, for the limiters that
-- servers keep in memory.
ALTER TABLE users ADD COLUMN unlocked_at_us INTEGER NULL;
CREATE INDEX users_by_unlock ON users (unlocked_at_us) WHERE unlocked_at_us IS NOT NULL;

-- The last sign-in of a user from each country, with a GeoIP database.
CREATE TABLE sign_in_places (
	user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	country         TEXT NOT NULL,
	latitude        REAL NULL,
	longitude       REAL NULL,
	device_hash     BLOB NOT NULL,
	last_seen_at_us INTEGER NOT NULL,
	PRIMARY KEY (user_id, country)
) STRICT;
