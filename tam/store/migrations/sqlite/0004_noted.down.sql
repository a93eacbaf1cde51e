DROP INDEX devices_by_attestation_key;

ALTER TABLE agents DROP COLUMN noted;
