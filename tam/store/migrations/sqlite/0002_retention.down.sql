CREATE INDEX outstanding_by_age ON outstanding (agent, sent_at, token);
DROP INDEX appraisals_by_agent;
DROP TRIGGER audit_events_kept;
CREATE TRIGGER audit_events_kept BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE (ABORT, 'the audit log is append-only');
END;
DROP TRIGGER audit_events_appended;
DROP TRIGGER audit_floor_single;
DROP TRIGGER audit_floor_kept;
DROP TRIGGER audit_floor_rises;
DROP TABLE audit_floor;
