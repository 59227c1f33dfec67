-- The current owner of each partition (I4): a handler's transaction holds its row FOR SHARE, a claim raises the epoch.
CREATE TABLE partition_owner (
    consumer_group TEXT    NOT NULL,
    topic          TEXT    NOT NULL,
    partition_id   INTEGER NOT NULL,
    epoch          BIGINT  NOT NULL,
    claimed_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition_id)
);

-- What each handler did with each event, with its complete result (I9).
CREATE TABLE inbox (
    handler    TEXT  NOT NULL,
    source     TEXT  NOT NULL,
    event_id   TEXT  NOT NULL,
    run        TEXT  NOT NULL,
    result     BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (handler, source, event_id, run)
);
CREATE INDEX inbox_created_at ON inbox (created_at);

-- Current registry entries. A deleted entry keeps its row without data, so that its version never starts again.
-- Names sort bytewise, as in SQLite. Data is JSON text as it was written: jsonb would refuse \u0000 and reorder members.
CREATE TABLE registry_entry (
    registry   TEXT COLLATE "C" NOT NULL,
    entry      TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    data       TEXT,
    utids      TEXT,
    updated_by TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (registry, entry)
);

-- Every version that an entry ever had, and the event that made it.
CREATE TABLE registry_history (
    registry   TEXT COLLATE "C" NOT NULL,
    entry      TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    data       TEXT,
    utids      TEXT,
    updated_by TEXT NOT NULL,
    source     TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (registry, entry, version)
);
