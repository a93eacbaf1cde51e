-- The formats of evidence that a CA certifies keys for, by their names with spaces between
-- them; none for EATs only, which is what a CA is for that nobody said more about.
ALTER TABLE device_cas ADD COLUMN formats TEXT NOT NULL DEFAULT '';
