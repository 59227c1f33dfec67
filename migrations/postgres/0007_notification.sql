-- What was said and what is to be said, each of one consumer group. Times are milliseconds since the Unix epoch, by the
-- database's clock.

-- What a channel was told under a key: the same is not said again before "until".
CREATE TABLE notification_said (
    consumer_group TEXT    COLLATE "C" NOT NULL,
    channel        TEXT    COLLATE "C" NOT NULL,
    dedup_key      TEXT    COLLATE "C" NOT NULL,
    resolved       INTEGER NOT NULL,
    until          BIGINT  NOT NULL,
    PRIMARY KEY (consumer_group, channel, dedup_key)
);
CREATE INDEX notification_said_until ON notification_said (until);

-- Messages that wait for more of their group. Whoever leases one that is due publishes its event and deletes it; equal ids
-- are one event. One that is due takes no more, so what is published again is the same.
CREATE TABLE notification_group (
    consumer_group TEXT    COLLATE "C" NOT NULL,
    delivery_id    TEXT    COLLATE "C" NOT NULL,
    channel        TEXT    COLLATE "C" NOT NULL,
    group_key      TEXT    COLLATE "C" NOT NULL,
    correlation_id TEXT    NOT NULL,
    members        INTEGER NOT NULL,
    due_at         BIGINT  NOT NULL,
    leased_until   BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer_group, delivery_id)
);
CREATE INDEX notification_group_due_at ON notification_group (consumer_group, due_at);
CREATE INDEX notification_group_key ON notification_group (consumer_group, channel, group_key);

CREATE TABLE notification_member (
    consumer_group TEXT    COLLATE "C" NOT NULL,
    delivery_id    TEXT    COLLATE "C" NOT NULL,
    position       INTEGER NOT NULL,
    -- JSON.
    notification   TEXT    NOT NULL,
    PRIMARY KEY (consumer_group, delivery_id, position),
    FOREIGN KEY (consumer_group, delivery_id) REFERENCES notification_group ON DELETE CASCADE
);
