-- A number that nobody has seen before, from each change of policies and groups to the next,
-- and that under which the evidence of an agent was accepted last. Nothing is due at once:
-- what was accepted before was accepted by the policies there were.
CREATE TABLE policy_state (
    id   INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    mark INTEGER NOT NULL
) STRICT;
INSERT INTO policy_state (id, mark) VALUES (1, 0);
ALTER TABLE agents ADD COLUMN accepted_under INTEGER NOT NULL DEFAULT 0;
