-- As in migrations/postgres.
CREATE TABLE workflow_cancel (
    consumer_group TEXT    NOT NULL,
    workflow_id    TEXT    NOT NULL,
    asked_by       TEXT    NOT NULL,
    reason         TEXT    NOT NULL,
    asked_at       INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, workflow_id),
    FOREIGN KEY (consumer_group, workflow_id) REFERENCES workflow_run ON DELETE CASCADE
) STRICT;
