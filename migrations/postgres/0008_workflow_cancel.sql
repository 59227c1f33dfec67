-- Runs that somebody wants to end. The command that says so comes in order, behind what the run does now; a step that would wait
-- for a server that cannot be reached finds this, and does not wait.
CREATE TABLE workflow_cancel (
    consumer_group TEXT    COLLATE "C" NOT NULL,
    workflow_id    TEXT    COLLATE "C" NOT NULL,
    asked_by       TEXT    NOT NULL,
    reason         TEXT    NOT NULL,
    asked_at       BIGINT  NOT NULL,
    PRIMARY KEY (consumer_group, workflow_id),
    FOREIGN KEY (consumer_group, workflow_id) REFERENCES workflow_run ON DELETE CASCADE
);
