-- +goose Up
-- Erasures that are recorded and not done yet. A row goes, address and all, when
-- its work is.
CREATE TABLE audit_erasures (
	event_seq INTEGER PRIMARY KEY, -- the event that records it
	user_id   TEXT NOT NULL,
	email     TEXT NOT NULL,
	done_seq  INTEGER NOT NULL -- events up to here are done
) STRICT;
