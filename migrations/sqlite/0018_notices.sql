-- +goose Up
-- What people agree to before they go on. The newest counts; an empty one takes the
-- notice away. Older ones stay, so that it can be said what somebody agreed to.
CREATE TABLE notices (
	version       INTEGER PRIMARY KEY, -- from 1, without gaps
	text          TEXT NOT NULL, -- plain, with paragraphs
	created_by    TEXT NULL, -- a user's id; no reference, since it outlives its author's account
	created_at_us INTEGER NOT NULL
) STRICT;

-- Who agreed to which. Of a user who is deleted the event alone stays.
CREATE TABLE consents (
	user_id        TEXT NOT NULL REFERENCES users (id),
	version        INTEGER NOT NULL REFERENCES notices (version),
	accepted_at_us INTEGER NOT NULL,
	PRIMARY KEY (user_id, version)
) STRICT;
CREATE INDEX consents_by_version ON consents (version);
