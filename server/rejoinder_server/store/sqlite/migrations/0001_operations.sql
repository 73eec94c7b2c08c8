-- min_program: 1
-- Times are microseconds since the epoch. Types, workers and the watermark serve every namespace: theirs is '*'.

CREATE TABLE operations (
    namespace           TEXT NOT NULL,
    operation_id        TEXT NOT NULL,
    uid                 TEXT NOT NULL,
    type                TEXT NOT NULL,
    queue               TEXT NOT NULL,
    state               INTEGER NOT NULL,
    revision            INTEGER NOT NULL,
    sequence            INTEGER NOT NULL,
    nonce               TEXT NOT NULL,
    attempt             INTEGER NOT NULL,
    error_reason        TEXT NOT NULL,
    progress_revision   INTEGER NOT NULL,
    progress_time       INTEGER,
    correlation_id      TEXT NOT NULL,
    labels              TEXT NOT NULL,
    priority            INTEGER NOT NULL,
    request_id          TEXT NOT NULL,
    fingerprint         TEXT NOT NULL,
    headers             TEXT NOT NULL,
    create_time         INTEGER NOT NULL,
    update_time         INTEGER NOT NULL,
    due_time            INTEGER NOT NULL,
    start_time          INTEGER,
    end_time            INTEGER,
    expire_time         INTEGER,
    purged_time         INTEGER,
    cancel_request_time INTEGER,
    cancel_reason       TEXT NOT NULL,
    queue_timeout       INTEGER,
    attempt_timeout     INTEGER,
    total_timeout       INTEGER,
    max_attempts        INTEGER,
    initial_backoff     INTEGER,
    backoff_multiplier  REAL,
    max_backoff         INTEGER,
    retention           INTEGER NOT NULL,
    failures            INTEGER NOT NULL,
    grant_nonce         TEXT NOT NULL,
    worker              TEXT NOT NULL,
    connection_id       TEXT NOT NULL,
    grant_time          INTEGER,
    lease_time          INTEGER,
    reported            INTEGER NOT NULL,
    progress            BLOB,
    error               BLOB,
    result              BLOB,
    PRIMARY KEY (namespace, operation_id),
    CONSTRAINT operations_uid UNIQUE (namespace, uid),
    CONSTRAINT operations_request_id UNIQUE (namespace, type, request_id)
);

-- What waits, in the order in which it runs.
CREATE INDEX operations_due ON operations (queue, type, priority DESC, due_time, namespace, operation_id)
    WHERE state = 1;

-- What waits, in the order in which it becomes due.
CREATE INDEX operations_schedule ON operations (due_time, queue, type, namespace) WHERE state = 1;

-- What runs where.
CREATE INDEX operations_running ON operations (worker, namespace, operation_id) WHERE state = 2;

-- What the sweeper must look at next.
CREATE INDEX operations_expiry ON operations (state, expire_time, namespace, operation_id)
    WHERE expire_time IS NOT NULL;

-- Listings merge one range of each state that they want.
CREATE INDEX operations_listing ON operations (namespace, state, create_time DESC, operation_id DESC)
    WHERE purged_time IS NULL;

CREATE INDEX operations_correlation ON operations (namespace, correlation_id, create_time DESC, operation_id DESC)
    WHERE purged_time IS NULL;

-- Request payloads stand apart, so that no change of an operation writes them again.
CREATE TABLE requests (
    namespace TEXT NOT NULL,
    uid       TEXT NOT NULL,
    payload   BLOB NOT NULL,
    PRIMARY KEY (namespace, uid)
);

CREATE TABLE transitions (
    namespace TEXT NOT NULL,
    uid       TEXT NOT NULL,
    sequence  INTEGER NOT NULL,
    revision  INTEGER NOT NULL,
    nonce     TEXT NOT NULL,
    state     INTEGER NOT NULL,
    attempt   INTEGER NOT NULL,
    time      INTEGER NOT NULL,
    worker    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    error     BLOB,
    PRIMARY KEY (namespace, uid, sequence)
);

CREATE TABLE types (
    namespace          TEXT NOT NULL,
    name               TEXT NOT NULL,
    queue              TEXT NOT NULL,
    description        TEXT NOT NULL,
    queue_timeout      INTEGER,
    attempt_timeout    INTEGER,
    total_timeout      INTEGER,
    max_attempts       INTEGER,
    initial_backoff    INTEGER,
    backoff_multiplier REAL,
    max_backoff        INTEGER,
    last_seen_time     INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
);

CREATE TABLE workers (
    namespace           TEXT NOT NULL,
    worker              TEXT NOT NULL,
    connection_id       TEXT NOT NULL,
    types               TEXT NOT NULL,
    free_slots          INTEGER NOT NULL,
    total_slots         INTEGER NOT NULL,
    zombies             INTEGER NOT NULL,
    unreadable_messages INTEGER NOT NULL,
    lease_time          INTEGER NOT NULL,
    PRIMARY KEY (namespace, worker)
);

CREATE TABLE watermark (
    namespace  TEXT PRIMARY KEY,
    time       INTEGER NOT NULL,
    judge_from INTEGER NOT NULL
);

INSERT INTO watermark (namespace, time, judge_from) VALUES ('*', 0, 0);
