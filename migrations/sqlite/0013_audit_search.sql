-- +goose Up
-- A time is found by audit_hours, as a range of numbers.
DROP INDEX audit_events_by_time;

-- People are looked for by address before they have an id, and after.
CREATE INDEX audit_events_by_email ON audit_events (email, seq);
-- Few events come from a key.
CREATE INDEX audit_events_by_key ON audit_events (api_key_id, seq) WHERE api_key_id IS NOT NULL;

-- Filters of the log that a person comes back to.
CREATE TABLE saved_views (
	id            TEXT PRIMARY KEY,
	user_id       TEXT NOT NULL REFERENCES users (id),
	name          TEXT NOT NULL,
	query         TEXT NOT NULL, -- the parameters of the page, encoded
	created_at_us INTEGER NOT NULL,
	UNIQUE (user_id, name)
) STRICT;
