-- As in migrations/postgres; SQLite cannot change a primary key, so the table is made anew.
CREATE TABLE inbox_of_groups (
    consumer_group TEXT NOT NULL DEFAULT '',
    handler        TEXT NOT NULL,
    source         TEXT NOT NULL,
    event_id       TEXT NOT NULL,
    run            TEXT NOT NULL,
    result         BLOB NOT NULL,
    created_at     INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY (consumer_group, handler, source, event_id, run)
) STRICT;
INSERT INTO inbox_of_groups (consumer_group, handler, source, event_id, run, result, created_at)
    SELECT CASE WHEN (SELECT count(DISTINCT consumer_group) FROM partition_owner) = 1
                THEN (SELECT min(consumer_group) FROM partition_owner) ELSE '' END,
           handler, source, event_id, run, result, created_at
    FROM inbox;
DROP TABLE inbox;
ALTER TABLE inbox_of_groups RENAME TO inbox;
CREATE INDEX inbox_created_at ON inbox (created_at);
