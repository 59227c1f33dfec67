-- What came in over HTTP, reserved before it is published: the same id with another content is refused (docs/api.md). What
-- became of a request is not here but in coafi.results.
CREATE TABLE http_request (
    id           TEXT NOT NULL,
    source       TEXT NOT NULL,
    principal    TEXT NOT NULL,
    digest       TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    published_at TIMESTAMPTZ,
    PRIMARY KEY (id, source)
);
CREATE INDEX http_request_created_at ON http_request (created_at);
