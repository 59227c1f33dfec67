-- As in migrations/postgres.
CREATE TABLE workflow_run (
    consumer_group TEXT    NOT NULL,
    workflow_id    TEXT NOT NULL,
    workflow       TEXT NOT NULL,
    version        INTEGER NOT NULL,
    -- What the run goes on with, whatever its file says later.
    digest         TEXT NOT NULL,
    definition     TEXT NOT NULL,
    status         TEXT NOT NULL,
    state          TEXT NOT NULL,
    -- Grows with each change: of two that change a run at once one is refused.
    seq            INTEGER  NOT NULL,
    correlation_id TEXT    NOT NULL,
    tenant_id      TEXT,
    utids          TEXT,
    created_at     INTEGER  NOT NULL,
    updated_at     INTEGER  NOT NULL,
    PRIMARY KEY (consumer_group, workflow_id)
) STRICT;
CREATE INDEX workflow_run_created_at ON workflow_run (consumer_group, created_at);
CREATE INDEX workflow_run_updated_at ON workflow_run (updated_at);

-- Attempts of their steps, for people; what a run goes by is its state.
CREATE TABLE workflow_step (
    consumer_group TEXT    NOT NULL,
    workflow_id    TEXT NOT NULL,
    step           TEXT NOT NULL,
    attempt        INTEGER NOT NULL,
    kind           TEXT NOT NULL,
    status         TEXT NOT NULL,
    fault          TEXT,
    started_at     INTEGER  NOT NULL,
    ended_at       INTEGER,
    PRIMARY KEY (consumer_group, workflow_id, step, attempt),
    FOREIGN KEY (consumer_group, workflow_id) REFERENCES workflow_run (consumer_group, workflow_id) ON DELETE CASCADE
) STRICT;

-- Attempts that are due later. Whoever leases one publishes its event and deletes it; equal ids are one event.
CREATE TABLE workflow_timer (
    consumer_group TEXT    NOT NULL,
    event_id       TEXT NOT NULL,
    workflow_id    TEXT NOT NULL,
    step           TEXT NOT NULL,
    attempt        INTEGER NOT NULL,
    due_at         INTEGER  NOT NULL,
    leased_until   INTEGER  NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer_group, event_id),
    FOREIGN KEY (consumer_group, workflow_id) REFERENCES workflow_run (consumer_group, workflow_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX workflow_timer_due_at ON workflow_timer (consumer_group, due_at);

-- Events that runs wait for: of this type, and the expression gives this value.
CREATE TABLE workflow_wait (
    consumer_group TEXT NOT NULL,
    workflow_id    TEXT NOT NULL,
    step           TEXT NOT NULL,
    attempt        INTEGER NOT NULL,
    event_type     TEXT NOT NULL,
    correlate      TEXT NOT NULL,
    value          TEXT NOT NULL,
    PRIMARY KEY (consumer_group, workflow_id, step),
    FOREIGN KEY (consumer_group, workflow_id) REFERENCES workflow_run (consumer_group, workflow_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX workflow_wait_value ON workflow_wait (consumer_group, event_type, correlate, value);
