ALTER TABLE devices DROP COLUMN evidence_at;
