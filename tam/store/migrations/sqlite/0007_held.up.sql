-- The manifest of the same id that evidence last showed instead, NULL for none, and when
-- evidence was last held against the status.
ALTER TABLE component_statuses ADD COLUMN held BLOB;
ALTER TABLE component_statuses ADD COLUMN measured_at INTEGER NOT NULL DEFAULT -62135596800000000;
