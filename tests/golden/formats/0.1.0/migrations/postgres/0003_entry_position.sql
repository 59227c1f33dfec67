-- Where the event stands that an entry was last changed from: an older event that is retried later changes nothing. NULL: it
-- is not known.
ALTER TABLE registry_entry
    ADD COLUMN source_run       TEXT,
    ADD COLUMN source_topic     TEXT,
    ADD COLUMN source_partition INTEGER,
    ADD COLUMN source_offset    BIGINT;
