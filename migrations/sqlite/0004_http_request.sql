-- As in migrations/postgres.
CREATE TABLE http_request (
    id           TEXT NOT NULL,
    source       TEXT NOT NULL,
    principal    TEXT NOT NULL,
    digest       TEXT NOT NULL,
    created_at   INTEGER NOT NULL DEFAULT (unixepoch()),
    published_at INTEGER,
    PRIMARY KEY (id, source)
) STRICT;
CREATE INDEX http_request_created_at ON http_request (created_at);
