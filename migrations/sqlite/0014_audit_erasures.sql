-- +goose Up
-- Erasures that are recorded and not done yet. The address goes when the events of
-- the time of the deletion are done; the row, when what was under way then is.
CREATE TABLE audit_erasures (
	event_seq   INTEGER PRIMARY KEY, -- the event that records it
	user_id     TEXT NOT NULL,
	email       TEXT NOT NULL,
	salt        BLOB NULL, -- of the commitment to the address in that event; goes with it
	done_seq    INTEGER NOT NULL, -- events up to here are done
	begun_at_us INTEGER NOT NULL
) STRICT;
