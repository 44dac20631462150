-- How many more stores of each engine the cluster has room for, as the last sweep saw it.
alter table platform add column room jsonb;
alter table platform add column room_at timestamptz;

-- A claimed store is older than its owner's wish for it, so the list goes by the wish.
drop index stores_living_owner;
create index stores_living_owner on stores (owner, created_at desc, id desc) where deleted_at is null;
create index stores_stock on stores (type, release, id) where owner is null and deleted_at is null;
