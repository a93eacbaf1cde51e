ALTER TABLE component_statuses DROP COLUMN measured_at;
ALTER TABLE component_statuses DROP COLUMN held;
