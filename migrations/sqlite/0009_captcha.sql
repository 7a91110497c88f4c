-- +goose Up
-- Challenges that were answered, right or wrong, so that none is good twice.
-- What has expired is refused without it and may go.
CREATE TABLE captcha_spent (
	id            BLOB PRIMARY KEY,
	expires_at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX captcha_spent_by_expiry ON captcha_spent (expires_at_us);
