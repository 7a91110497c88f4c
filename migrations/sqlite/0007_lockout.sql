-- +goose Up
-- Wrong passwords in a row, of an account by strangers together and by each
-- device that signed in before. The account is a MAC of its address, so that
-- unknown addresses count like known ones and what was typed in place of one
-- lies nowhere.
CREATE TABLE login_failures (
	account            BLOB NOT NULL,
	device             BLOB NOT NULL, -- empty for strangers
	failures           INTEGER NOT NULL,
	last_failure_at_us INTEGER NOT NULL,
	locked_until_us    INTEGER NULL,
	PRIMARY KEY (account, device)
) STRICT;
CREATE INDEX login_failures_by_time ON login_failures (last_failure_at_us);
