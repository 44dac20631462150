-- Everything that Urumi remembers. The cluster can be observed again at any time; only what is here cannot.

create table platform (
    id          uuid primary key default uuidv4(),   -- labels every namespace: two installations may share one cluster
    only_one    boolean not null default true unique check (only_one),
    created_at  timestamptz not null default now(),
    swept_at    timestamptz,                          -- end of the last complete sweep
    sweep       jsonb not null default '{}'           -- what it found
);
insert into platform default values;

create table stores (
    id              uuid primary key default uuidv7(), -- ordered by creation: the list's cursor
    owner           text,                              -- null: a warm store, nobody's yet
    name            text,
    type            text not null check (type in ('woocommerce', 'medusa')),
    desired         text not null default 'present' check (desired in ('present', 'absent', 'asleep')),
    status          text not null default 'provisioning' check (status in
                        ('provisioning', 'ready', 'failed', 'warm', 'degraded', 'asleep', 'deleting', 'deleted')),
    namespace       text not null unique,
    host            text,
    helm_release    text not null default 'store',
    release         text not null,                     -- the wanted release: chart version and digest of the settings
    identity        integer not null default 1,        -- the wanted identity: raised by a claim and by a new admin password
    sealed_identity integer not null default 0,        -- whose admin password lies in credentials
    attempt         integer not null default 1,        -- raised by the owner's retry
    failures        integer not null default 0,        -- errors in a row, sets the pause before the next try
    next_try_at     timestamptz,
    deadline_at     timestamptz,
    error_reason    text,
    error_message   text,
    traceparent     text,
    version         bigint not null default 1,         -- raised by every write: a stale writer changes nothing
    created_at      timestamptz not null default now(),
    requested_at    timestamptz not null default now(), -- click or retry: time to ready counts from here
    updated_at      timestamptz not null default now(),
    ready_at        timestamptz,
    time_to_ready   double precision,                  -- seconds, click to ready
    from_warm       boolean not null default false,    -- claimed from stock
    retired_at      timestamptz,
    deleted_at      timestamptz,
    check (status in ('warm', 'deleting', 'deleted', 'provisioning', 'failed') or owner is not null),
    check ((owner is null) = (name is null))
);
-- A name is a host name: one living store has it, whoever owns it.
create unique index stores_living_name on stores (name) where deleted_at is null;
create index stores_living_owner on stores (owner, id desc) where deleted_at is null;
create index stores_creations on stores (owner, created_at desc);
create index stores_status on stores (status) where deleted_at is null;

create table store_steps (
    store_id    uuid not null references stores,
    attempt     integer not null,
    step        text not null,
    position    smallint not null,
    started_at  timestamptz not null default now(),
    ended_at    timestamptz,
    detail      text,
    primary key (store_id, attempt, step)
);

create table store_events (
    id          bigint generated always as identity primary key,
    store_id    uuid not null references stores,
    time        timestamptz not null default clock_timestamp(),
    type        text not null,
    message     text not null
);
create index store_events_of_store on store_events (store_id, id desc);

-- What people asked for, granted or not. store_id is no foreign key: a refused request may name a store that never was.
create table audit_logs (
    id          bigint generated always as identity primary key,
    user_id     text not null,
    action      text not null,
    store_id    uuid,
    store_name  text,
    outcome     text not null check (outcome in ('accepted', 'refused')),
    reason      text,
    timestamp   timestamptz not null default clock_timestamp(),
    ip_address  text
);
create index audit_logs_of_user on audit_logs (user_id, id desc);
create index audit_logs_errors on audit_logs (reason) where action = 'create' and outcome = 'refused';

create table idempotency_keys (
    owner       text not null,
    key         text not null,
    digest      bytea not null,                        -- SHA-256 of the request's body
    store_id    uuid not null references stores,
    response    jsonb not null,                        -- the first answer, given again to every repeat
    created_at  timestamptz not null default now(),
    primary key (owner, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);

create table api_tokens (
    id          uuid primary key default uuidv7(),
    owner       text not null,
    role        text not null default 'owner' check (role in ('owner', 'admin')),
    digest      bytea not null unique,                 -- SHA-256; the token itself is shown once and kept nowhere
    created_at  timestamptz not null default now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);

create table store_credentials (
    store_id    uuid primary key references stores,
    sealed      bytea not null,                        -- encrypted; erased when the owner has read it
    created_at  timestamptz not null default now()
);

create table orphans (
    namespace   text primary key,                      -- seen in the cluster, but no living store has it
    seen_at     timestamptz not null default now()
);
