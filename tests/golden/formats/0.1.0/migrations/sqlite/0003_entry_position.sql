-- As in migrations/postgres.
ALTER TABLE registry_entry ADD COLUMN source_run TEXT;
ALTER TABLE registry_entry ADD COLUMN source_topic TEXT;
ALTER TABLE registry_entry ADD COLUMN source_partition INTEGER;
ALTER TABLE registry_entry ADD COLUMN source_offset INTEGER;
