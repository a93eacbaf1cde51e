-- Labels: a map of text to text. An exception: a map by number. Failures: a map of reason
-- codes to counts. Each NULL for none.
ALTER TABLE devices ADD COLUMN labels BLOB;
ALTER TABLE devices ADD COLUMN quarantined_by TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN exception BLOB;
ALTER TABLE devices ADD COLUMN attestations_accepted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN attestations_failed BLOB;

-- The raw bytes stand last, so that reading the rest of a row does not read them. An id is
-- never given twice: exceptions and people refer to it.
CREATE TABLE appraisals_new (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    device        TEXT    NOT NULL REFERENCES devices (id),
    agent         BLOB    NOT NULL,
    at            INTEGER NOT NULL,
    accepted      INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    code          TEXT    NOT NULL,
    status        INTEGER NOT NULL,
    vector        BLOB,
    verifier      TEXT    NOT NULL,
    outcome       TEXT    NOT NULL,
    policy        TEXT    NOT NULL,
    format        TEXT    NOT NULL,
    challenge     BLOB,
    result_format TEXT    NOT NULL,
    claims        BLOB,
    comparisons   BLOB,
    evidence      BLOB,
    result        BLOB,
    genuine       INTEGER NOT NULL GENERATED ALWAYS AS (claims IS NOT NULL) VIRTUAL
) STRICT;
INSERT INTO appraisals_new (id, device, agent, at, accepted, reason, code, status, vector, verifier, outcome, policy,
        format, challenge, result_format, evidence)
    SELECT id, device, agent, at, accepted, reason, '', status, vector, verifier, '', '',
        format, challenge, '', evidence FROM appraisals;
DROP TABLE appraisals;
ALTER TABLE appraisals_new RENAME TO appraisals;

-- The history of a device, of which a filter reads nothing but this index.
CREATE INDEX appraisals_by_device ON appraisals (device, id DESC, accepted, genuine);
CREATE INDEX appraisals_by_agent ON appraisals (agent, at, id);
-- What went wrong in the whole fleet: few among many.
CREATE INDEX appraisals_refused ON appraisals (accepted, id, genuine) WHERE accepted = 0;
-- Those whose raw bytes are still there, in the order in which they go.
CREATE INDEX appraisals_raw ON appraisals (at) WHERE evidence IS NOT NULL OR result IS NOT NULL;

CREATE TABLE policies (
    name        TEXT    NOT NULL CHECK (name <> ''),
    version     INTEGER NOT NULL CHECK (version > 0),
    kind        TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    selector    TEXT    NOT NULL,
    expression  TEXT    NOT NULL,
    remediation TEXT    NOT NULL,
    comment     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    created_by  TEXT    NOT NULL,
    retired     INTEGER NOT NULL,
    in_force    INTEGER NOT NULL, -- the highest version of its name, where that is not retired
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE INDEX policies_in_force ON policies (in_force, position, name) WHERE in_force = 1;

CREATE TABLE device_groups (
    name     TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
    selector TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Imported CoRIM files; the version as a sequence number.
CREATE TABLE reference_files (
    id          TEXT    NOT NULL CHECK (id <> ''),
    version     BLOB    NOT NULL,
    signer      TEXT    NOT NULL,
    imported_at INTEGER NOT NULL,
    imported_by TEXT    NOT NULL,
    raw         BLOB    NOT NULL CHECK (length(raw) > 0),
    PRIMARY KEY (id, version)
) STRICT;

CREATE TABLE device_cas (
    fingerprint BLOB    NOT NULL PRIMARY KEY,
    title       TEXT    NOT NULL,
    added_at    INTEGER NOT NULL,
    added_by    TEXT    NOT NULL,
    certificate BLOB    NOT NULL
) STRICT;

-- How often anything changed that evidence is appraised against, here or among the anchors.
CREATE TABLE reference_state (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    changes INTEGER NOT NULL
) STRICT;
INSERT INTO reference_state (id, changes) VALUES (1, 0);
