-- The same tables as in migrations/postgres; times are seconds since the Unix epoch.
CREATE TABLE partition_owner (
    consumer_group TEXT    NOT NULL,
    topic          TEXT    NOT NULL,
    partition_id   INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    claimed_at     INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY (consumer_group, topic, partition_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    handler    TEXT NOT NULL,
    source     TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    run        TEXT NOT NULL,
    result     BLOB NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY (handler, source, event_id, run)
) STRICT;
CREATE INDEX inbox_created_at ON inbox (created_at);

CREATE TABLE registry_entry (
    registry   TEXT    NOT NULL,
    entry      TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    data       TEXT,
    utids      TEXT,
    updated_by TEXT    NOT NULL,
    updated_at INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY (registry, entry)
) STRICT;

CREATE TABLE registry_history (
    registry   TEXT    NOT NULL,
    entry      TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    data       TEXT,
    utids      TEXT,
    updated_by TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    event_id   TEXT    NOT NULL,
    updated_at INTEGER NOT NULL DEFAULT (unixepoch()),
    PRIMARY KEY (registry, entry, version)
) STRICT;
