DROP TABLE reference_state;
DROP TABLE device_cas;
DROP TABLE reference_files;
DROP TABLE device_groups;
DROP TABLE policies;

CREATE TABLE appraisals_old (
    id        INTEGER NOT NULL PRIMARY KEY,
    device    TEXT    NOT NULL REFERENCES devices (id),
    agent     BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    accepted  INTEGER NOT NULL,
    reason    TEXT    NOT NULL,
    status    INTEGER NOT NULL,
    vector    BLOB,
    verifier  TEXT    NOT NULL,
    evidence  BLOB,
    format    TEXT    NOT NULL,
    challenge BLOB
) STRICT;
INSERT INTO appraisals_old (id, device, agent, at, accepted, reason, status, vector, verifier, evidence, format, challenge)
    SELECT id, device, agent, at, accepted, reason, status, vector, verifier, evidence, format, challenge FROM appraisals;
DROP TABLE appraisals;
ALTER TABLE appraisals_old RENAME TO appraisals;
CREATE INDEX appraisals_by_device ON appraisals (device, at, id);
CREATE INDEX appraisals_by_agent ON appraisals (agent, at, id);

ALTER TABLE devices DROP COLUMN attestations_failed;
ALTER TABLE devices DROP COLUMN attestations_accepted;
ALTER TABLE devices DROP COLUMN exception;
ALTER TABLE devices DROP COLUMN quarantined_by;
ALTER TABLE devices DROP COLUMN labels;
