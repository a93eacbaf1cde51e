-- Conventions, the same in every dialect:
--   times        microseconds since 1970 in UTC; Go's zero time is what it is, in the year 1
--   keys         COSE_Key; a column that refers to one holds its thumbprint
--   components   the deterministic encoding of the component id
--   digests      an encoded SUIT_Digest; only the key of manifests is the bare digest, because lists are in its order
--   sequence, image_size: 8 bytes, big-endian, for the whole range of uint64 in order

CREATE TABLE devices (
    id           TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    ueid         BLOB    NOT NULL UNIQUE CHECK (length(ueid) > 0),
    name         TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    state_reason TEXT    NOT NULL,
    oemid        BLOB,
    hwmodel      BLOB,
    hwversion    TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_by_state ON devices (state, id);

CREATE TABLE agents (
    key         BLOB    NOT NULL PRIMARY KEY,
    device      TEXT    NOT NULL REFERENCES devices (id),
    cose_key    BLOB    NOT NULL,
    numbering   INTEGER NOT NULL,
    report_key  BLOB,
    extensions  BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    attested_at INTEGER NOT NULL,
    hold_until  INTEGER NOT NULL,
    hold_reason TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX agents_by_device ON agents (device, key);

CREATE TABLE inventory (
    device    TEXT    NOT NULL REFERENCES devices (id),
    component BLOB    NOT NULL,
    digest    BLOB,
    since     INTEGER NOT NULL,
    PRIMARY KEY (device, component)
) STRICT, WITHOUT ROWID;

CREATE TABLE component_statuses (
    device      TEXT    NOT NULL REFERENCES devices (id),
    component   BLOB    NOT NULL,
    manifest    BLOB    NOT NULL,
    sequence    BLOB    NOT NULL,
    state       TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    attempts    INTEGER NOT NULL,
    retry_after INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    PRIMARY KEY (device, component)
) STRICT, WITHOUT ROWID;

CREATE TABLE requirements (
    device     TEXT    NOT NULL REFERENCES devices (id),
    component  BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (device, component)
) STRICT, WITHOUT ROWID;

CREATE TABLE appraisals (
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
CREATE INDEX appraisals_by_device ON appraisals (device, at, id);

CREATE TABLE manifests (
    digest       BLOB    NOT NULL PRIMARY KEY,
    algorithm    INTEGER NOT NULL,
    component    BLOB    NOT NULL,
    sequence     BLOB    NOT NULL,
    signer       BLOB    NOT NULL,
    size         INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    published_by TEXT    NOT NULL,
    UNIQUE (component, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE manifest_envelopes (
    manifest BLOB NOT NULL PRIMARY KEY REFERENCES manifests (digest),
    envelope BLOB NOT NULL
) STRICT;

CREATE TABLE manifest_targets (
    manifest     BLOB    NOT NULL REFERENCES manifests (digest),
    position     INTEGER NOT NULL,
    component    BLOB    NOT NULL,
    image_digest BLOB    NOT NULL,
    image_size   BLOB    NOT NULL,
    uri          TEXT    NOT NULL,
    PRIMARY KEY (manifest, position)
) STRICT, WITHOUT ROWID;

-- Every component that a manifest is about, its own and its targets, in the
-- order in which plans ask.
CREATE TABLE manifest_components (
    component BLOB NOT NULL,
    sequence  BLOB NOT NULL,
    manifest  BLOB NOT NULL REFERENCES manifests (digest),
    PRIMARY KEY (component, sequence, manifest)
) STRICT, WITHOUT ROWID;

CREATE TABLE anchors (
    key         BLOB    NOT NULL PRIMARY KEY,
    cose_key    BLOB    NOT NULL,
    title       TEXT    NOT NULL,
    constraints BLOB    NOT NULL,
    not_before  INTEGER NOT NULL,
    not_after   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE anchor_purposes (
    anchor   BLOB    NOT NULL REFERENCES anchors (key),
    position INTEGER NOT NULL,
    purpose  TEXT    NOT NULL,
    PRIMARY KEY (anchor, position),
    UNIQUE (purpose, anchor)
) STRICT, WITHOUT ROWID;

CREATE TABLE spent_tokens (
    token BLOB    NOT NULL PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_tokens_by_end ON spent_tokens (until);

CREATE TABLE outstanding (
    agent      BLOB    NOT NULL REFERENCES agents (key),
    token      BLOB    NOT NULL,
    device     TEXT    NOT NULL REFERENCES devices (id),
    manifests  BLOB    NOT NULL,
    sent_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (agent, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX outstanding_by_age ON outstanding (agent, sent_at, token);
CREATE INDEX outstanding_by_end ON outstanding (expires_at);

CREATE TABLE token_keys (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id BETWEEN 0 AND 255),
    secret     BLOB    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_events (
    seq     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    details BLOB    NOT NULL
) STRICT;
CREATE TRIGGER audit_events_unchanged BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE (ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_events_kept BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE (ABORT, 'the audit log is append-only');
END;
