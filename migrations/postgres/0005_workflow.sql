-- Runs of workflows, each of one consumer group. Times are milliseconds since the Unix epoch, by the database's clock.
CREATE TABLE workflow_run (
    consumer_group TEXT    COLLATE "C" NOT NULL,
    workflow_id    TEXT    COLLATE "C" NOT NULL,
    workflow       TEXT    COLLATE "C" NOT NULL,
    version        INTEGER NOT NULL,
    -- What the run goes on with, whatever its file says later.
    digest         TEXT    NOT NULL,
    definition     TEXT    NOT NULL,
    status         TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    -- Grows with each change: of two that change a run at once one is refused.
    seq            BIGINT  NOT NULL,
    correlation_id TEXT    NOT NULL,
    tenant_id      TEXT,
    utids          TEXT,
    created_at     BIGINT  NOT NULL,
    updated_at     BIGINT  NOT NULL,
    PRIMARY KEY (consumer_group, workflow_id)
);
CREATE INDEX workflow_run_created_at ON workflow_run (consumer_group, created_at);
CREATE INDEX workflow_run_updated_at ON workflow_run (updated_at);

-- Attempts of their steps, for people; what a run goes by is its state.
CREATE TABLE workflow_step (
    consumer_group TEXT    COLLATE "C" NOT NULL,
    workflow_id    TEXT    COLLATE "C" NOT NULL,
    step           TEXT    COLLATE "C" NOT NULL,
    attempt        INTEGER NOT NULL,
    kind           TEXT    NOT NULL,
    status         TEXT    NOT NULL,
    fault          TEXT,
    started_at     BIGINT  NOT NULL,
    ended_at       BIGINT,
    PRIMARY KEY (consumer_group, workflow_id, step, attempt),
    FOREIGN KEY (consumer_group, workflow_id) REFERENCES workflow_run ON DELETE CASCADE
);

-- Attempts that are due later. Whoever leases one publishes its event and deletes it; equal ids are one event.
CREATE TABLE workflow_timer (
    consumer_group TEXT    COLLATE "C" NOT NULL,
    event_id       TEXT    COLLATE "C" NOT NULL,
    workflow_id    TEXT    COLLATE "C" NOT NULL,
    step           TEXT    NOT NULL,
    attempt        INTEGER NOT NULL,
    due_at         BIGINT  NOT NULL,
    leased_until   BIGINT  NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer_group, event_id),
    FOREIGN KEY (consumer_group, workflow_id) REFERENCES workflow_run ON DELETE CASCADE
);
CREATE INDEX workflow_timer_due_at ON workflow_timer (consumer_group, due_at);

-- Events that runs wait for: of this type, and the expression gives this value.
CREATE TABLE workflow_wait (
    consumer_group TEXT   COLLATE "C" NOT NULL,
    workflow_id    TEXT   COLLATE "C" NOT NULL,
    step           TEXT   COLLATE "C" NOT NULL,
    attempt        INTEGER NOT NULL,
    event_type     TEXT   COLLATE "C" NOT NULL,
    correlate      TEXT   COLLATE "C" NOT NULL,
    value          TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (consumer_group, workflow_id, step),
    FOREIGN KEY (consumer_group, workflow_id) REFERENCES workflow_run ON DELETE CASCADE
);
CREATE INDEX workflow_wait_value ON workflow_wait (consumer_group, event_type, correlate, value);
