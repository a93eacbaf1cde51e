-- The newest time after which accepted evidence of the device is known to be made.
ALTER TABLE devices ADD COLUMN evidence_at INTEGER NOT NULL DEFAULT -62135596800000000;

UPDATE devices SET evidence_at = coalesce((SELECT max(attested_at) FROM agents WHERE agents.device = devices.id), evidence_at);
