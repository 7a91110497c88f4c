-- +goose Up
-- Who made a link: it is as good as what they may do when it is used. None for
-- those of the host and in mails.
ALTER TABLE password_links ADD COLUMN made_by TEXT NULL;
ALTER TABLE password_links ADD COLUMN made_by_key TEXT NULL; -- the API key that made it
ALTER TABLE enrolment_links ADD COLUMN made_by TEXT NULL;
