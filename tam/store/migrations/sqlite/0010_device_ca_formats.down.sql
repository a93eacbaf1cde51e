ALTER TABLE device_cas DROP COLUMN formats;
