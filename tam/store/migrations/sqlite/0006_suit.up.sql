-- Who vouches for which components, and the manifests that one depends on: lists in one
-- column, NULL where the signer vouches for all that the manifest is about, and where it
-- depends on nothing. A dependency stands in manifest_components too.
ALTER TABLE manifests ADD COLUMN signatures BLOB;
ALTER TABLE manifests ADD COLUMN dependencies BLOB;

-- The last SUIT_Report of a device about a manifest component id, as the device made it.
CREATE TABLE reports (
    device    TEXT    NOT NULL REFERENCES devices (id),
    component BLOB    NOT NULL,
    manifest  BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    report    BLOB    NOT NULL,
    PRIMARY KEY (device, component)
) STRICT, WITHOUT ROWID;
