-- When what repeats was last written to the record, by its reason: a map of text to microseconds.
ALTER TABLE agents ADD COLUMN noted BLOB;

CREATE INDEX devices_by_attestation_key ON devices (attestation_key);
