DROP TABLE removals;

ALTER TABLE outstanding DROP COLUMN unneeded;

ALTER TABLE agents DROP COLUMN repeats;
ALTER TABLE agents DROP COLUMN evidence_at;
ALTER TABLE agents DROP COLUMN algorithm;

ALTER TABLE devices DROP COLUMN attestation_key;
