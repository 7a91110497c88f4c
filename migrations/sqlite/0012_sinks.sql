-- +goose Up
-- How far the log has been pushed to each receiver outside. A receiver that is not
-- configured any more keeps its row: when it comes back, it gets what it missed.
CREATE TABLE sink_cursors (
	kind            TEXT NOT NULL, -- 'syslog', 'webhook'
	target_hash     TEXT NOT NULL, -- SHA-256 of its URL, which may hold a token
	seq             INTEGER NOT NULL, -- the newest event that has surely arrived
	checkpoint_size INTEGER NOT NULL, -- the newest head of the log that was sent
	updated_at_us   INTEGER NOT NULL,
	PRIMARY KEY (kind, target_hash)
) STRICT;
