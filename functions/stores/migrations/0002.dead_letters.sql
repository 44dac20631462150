-- Events that could not be delivered. Nothing depends on them: the sweep does their work; they tell that something is wrong.
create table dead_letters (
    id          bigint generated always as identity primary key,
    received_at timestamptz not null default now(),
    source      text not null,
    event_id    text not null,
    type        text not null,
    subject     text,                                  -- the store's id or the object's name
    error_code  integer,                               -- what reconcile answered last; null when it did not answer
    headers     jsonb not null,                        -- the event in binary mode, as it is sent again
    body        bytea not null,
    replayed_at timestamptz,
    unique (source, event_id)
);
