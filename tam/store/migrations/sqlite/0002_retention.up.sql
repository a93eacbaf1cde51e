-- Events leave the audit log by one way: from its start, up to the floor, which only
-- rises and never above the log.
CREATE TABLE audit_floor (
    id  INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO audit_floor (id, seq) VALUES (1, 0);
CREATE TRIGGER audit_floor_rises BEFORE UPDATE ON audit_floor
WHEN NEW.seq <= OLD.seq OR NEW.seq > (SELECT max(seq) FROM audit_events)
BEGIN
    SELECT RAISE (ABORT, 'the floor of the audit log only rises, and not above the log');
END;
CREATE TRIGGER audit_floor_kept BEFORE DELETE ON audit_floor
BEGIN
    SELECT RAISE (ABORT, 'the floor of the audit log stays');
END;
CREATE TRIGGER audit_floor_single BEFORE INSERT ON audit_floor
BEGIN
    SELECT RAISE (ABORT, 'the audit log has one floor');
END;
-- INSERT OR REPLACE would pass by the other triggers.
CREATE TRIGGER audit_events_appended BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE seq = NEW.seq)
BEGIN
    SELECT RAISE (ABORT, 'the audit log is append-only');
END;
DROP TRIGGER audit_events_kept;
CREATE TRIGGER audit_events_kept BEFORE DELETE ON audit_events
WHEN OLD.seq > (SELECT seq FROM audit_floor WHERE id = 1)
BEGIN
    SELECT RAISE (ABORT, 'the audit log is append-only');
END;

CREATE INDEX appraisals_by_agent ON appraisals (agent, at, id);

-- An agent has few outstanding Updates: the primary key finds them all.
DROP INDEX outstanding_by_age;
