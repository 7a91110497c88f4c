-- +goose Up
-- Networks that an API key was used from.
CREATE TABLE api_key_networks (
	api_key_id       TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
	network          TEXT NOT NULL,
	first_seen_at_us INTEGER NOT NULL,
	PRIMARY KEY (api_key_id, network)
) STRICT;

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
