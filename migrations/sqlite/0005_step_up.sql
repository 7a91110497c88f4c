-- +goose Up
-- Wrong proofs of presence in a row; a few of them end the session.
ALTER TABLE sessions ADD COLUMN wrong_proofs INTEGER NOT NULL DEFAULT 0;
-- Whether the user may do nothing but enrol a new second factor. The old one
-- signs them in until then.
ALTER TABLE users ADD COLUMN reenroll INTEGER NOT NULL DEFAULT 0 CHECK (reenroll IN (0, 1));
