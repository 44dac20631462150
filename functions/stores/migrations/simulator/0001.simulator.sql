-- The simulated cluster's own memory, apart from the platform's tables: it survives a restart of any process.
create schema simulator;

create table simulator.namespaces (
    name         text primary key,
    store_id     uuid not null,
    type         text not null,
    platform     uuid not null,
    prepared     boolean not null default false,
    host         text,
    shop_name    text,
    password     text,
    identity     integer not null default 0,
    release      text,
    installed_at timestamptz,
    asleep       boolean not null default false,
    deleting_at  timestamptz
);
create unique index namespaces_host on simulator.namespaces (host) where deleting_at is null;

create table simulator.faults (
    store_name  text primary key,
    kind        text not null check (kind in ('image-pull', 'volume-pending', 'crash', 'install-error', 'unreachable'))
);

-- One line for each change that reconcile made, so that tests can count them.
create table simulator.actions (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default clock_timestamp(),
    action      text not null,
    namespace   text not null
);
