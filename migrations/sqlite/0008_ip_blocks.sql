-- +goose Up
-- Addresses and networks from which nothing is answered. Who made a block and
-- who ended it are no references: a block outlives its author's account.
CREATE TABLE ip_blocks (
	id            TEXT PRIMARY KEY,
	network       TEXT NOT NULL, -- a CIDR in canonical form
	reason        TEXT NULL,
	source        TEXT NOT NULL CHECK (source IN ('manual', 'automatic')),
	created_by    TEXT NULL, -- a user's id
	created_at_us INTEGER NOT NULL,
	expires_at_us INTEGER NOT NULL,
	removed_at_us INTEGER NULL, -- of one that ended by itself: when another took its place
	removed_by    TEXT NULL
) STRICT;
-- One network is blocked once, however many ask for it at the same time.
CREATE UNIQUE INDEX ip_blocks_by_network ON ip_blocks (network) WHERE removed_at_us IS NULL;
CREATE INDEX ip_blocks_by_expiry ON ip_blocks (expires_at_us);
CREATE INDEX ip_blocks_by_removal ON ip_blocks (removed_at_us) WHERE removed_at_us IS NOT NULL;
