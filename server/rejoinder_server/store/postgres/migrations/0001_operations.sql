-- min_program: 1
-- Times are microseconds since the epoch. Text compares by its bytes, so that the order of keys is the same in every
-- database and in the program. Types, workers and the watermark serve every namespace: theirs is '*'.

CREATE TABLE operations (
    namespace           text COLLATE "C" NOT NULL,
    operation_id        text COLLATE "C" NOT NULL,
    uid                 text COLLATE "C" NOT NULL,
    type                text COLLATE "C" NOT NULL,
    queue               text COLLATE "C" NOT NULL,
    state               bigint NOT NULL,
    revision            bigint NOT NULL,
    sequence            bigint NOT NULL,
    nonce               text COLLATE "C" NOT NULL,
    attempt             bigint NOT NULL,
    error_reason        text COLLATE "C" NOT NULL,
    progress_revision   bigint NOT NULL,
    progress_time       bigint,
    correlation_id      text COLLATE "C" NOT NULL,
    labels              jsonb NOT NULL,
    priority            bigint NOT NULL,
    request_id          text COLLATE "C" NOT NULL,
    fingerprint         text COLLATE "C" NOT NULL,
    headers             jsonb NOT NULL,
    create_time         bigint NOT NULL,
    update_time         bigint NOT NULL,
    due_time            bigint NOT NULL,
    start_time          bigint,
    end_time            bigint,
    expire_time         bigint,
    purged_time         bigint,
    cancel_request_time bigint,
    cancel_reason       text COLLATE "C" NOT NULL,
    queue_timeout       bigint,
    attempt_timeout     bigint,
    total_timeout       bigint,
    max_attempts        bigint,
    initial_backoff     bigint,
    backoff_multiplier  double precision,
    max_backoff         bigint,
    retention           bigint NOT NULL,
    failures            bigint NOT NULL,
    grant_nonce         text COLLATE "C" NOT NULL,
    worker              text COLLATE "C" NOT NULL,
    connection_id       text COLLATE "C" NOT NULL,
    grant_time          bigint,
    lease_time          bigint,
    reported            bigint NOT NULL,
    progress            bytea,
    error               bytea,
    result              bytea,
    PRIMARY KEY (namespace, operation_id),
    CONSTRAINT operations_uid UNIQUE (namespace, uid),
    CONSTRAINT operations_request_id UNIQUE (namespace, type, request_id)
)
-- Room on each page for new versions of its rows: leases and progress then touch no index. Waiting rows come and go
-- all the time, so their dead versions are cleared early.
WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

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
    namespace text COLLATE "C" NOT NULL,
    uid       text COLLATE "C" NOT NULL,
    payload   bytea NOT NULL,
    PRIMARY KEY (namespace, uid)
);

CREATE TABLE transitions (
    namespace text COLLATE "C" NOT NULL,
    uid       text COLLATE "C" NOT NULL,
    sequence  bigint NOT NULL,
    revision  bigint NOT NULL,
    nonce     text COLLATE "C" NOT NULL,
    state     bigint NOT NULL,
    attempt   bigint NOT NULL,
    time      bigint NOT NULL,
    worker    text COLLATE "C" NOT NULL,
    reason    text COLLATE "C" NOT NULL,
    error     bytea,
    PRIMARY KEY (namespace, uid, sequence)
);

CREATE TABLE types (
    namespace          text COLLATE "C" NOT NULL,
    name               text COLLATE "C" NOT NULL,
    queue              text COLLATE "C" NOT NULL,
    description        text COLLATE "C" NOT NULL,
    queue_timeout      bigint,
    attempt_timeout    bigint,
    total_timeout      bigint,
    max_attempts       bigint,
    initial_backoff    bigint,
    backoff_multiplier double precision,
    max_backoff        bigint,
    last_seen_time     bigint NOT NULL,
    PRIMARY KEY (namespace, name)
);

CREATE TABLE workers (
    namespace           text COLLATE "C" NOT NULL,
    worker              text COLLATE "C" NOT NULL,
    connection_id       text COLLATE "C" NOT NULL,
    types               jsonb NOT NULL,
    free_slots          bigint NOT NULL,
    total_slots         bigint NOT NULL,
    zombies             bigint NOT NULL,
    unreadable_messages bigint NOT NULL,
    lease_time          bigint NOT NULL,
    PRIMARY KEY (namespace, worker)
);

CREATE TABLE watermark (
    namespace  text COLLATE "C" PRIMARY KEY,
    time       bigint NOT NULL,
    judge_from bigint NOT NULL
);

INSERT INTO watermark (namespace, time, judge_from) VALUES ('*', 0, 0);
