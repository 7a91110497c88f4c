-- +goose Up
-- What users may do beyond their role.
CREATE TABLE grants (
	id            TEXT PRIMARY KEY,
	user_id       TEXT NOT NULL REFERENCES users (id),
	permission    TEXT NOT NULL, -- resource:action; a * may stand for a whole part
	resource_id   TEXT NOT NULL DEFAULT '', -- empty: everywhere
	granted_by    TEXT NOT NULL, -- the id of a user, who may be gone
	created_at_us INTEGER NOT NULL,
	UNIQUE (user_id, permission, resource_id)
) STRICT;
CREATE INDEX grants_by_resource ON grants (resource_id);
