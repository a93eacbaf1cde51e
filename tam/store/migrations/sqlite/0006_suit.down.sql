DROP TABLE reports;

ALTER TABLE manifests DROP COLUMN dependencies;
ALTER TABLE manifests DROP COLUMN signatures;
