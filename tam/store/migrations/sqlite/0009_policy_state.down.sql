ALTER TABLE agents DROP COLUMN accepted_under;
DROP TABLE policy_state;
