-- +goose Up
-- What an address looks like (UTS #39), so that no second one is taken for it.
-- Empty for those from before, until the next start, and where two were there.
ALTER TABLE users ADD COLUMN email_skeleton TEXT NULL;
CREATE UNIQUE INDEX users_by_email_skeleton ON users (email_skeleton);
