#!/bin/bash
# Makes the store's database on an empty volume, then becomes PostgreSQL. The data directory gets its name when it is complete:
# a pod killed in between starts again from nothing and never on half a directory. The superuser has no password and is
# reached through the pod's own socket only; over the network there is the store's role alone.
set -euo pipefail
if [ ! -d "$PGDATA" ]; then
  new=$PGDATA.new
  rm -rf "$new"
  initdb --pgdata="$new" --username=postgres --auth-local=trust --auth-host=reject --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 >/dev/null
  postgres --single -D "$new" postgres >/dev/null <<SQL
create role store login password '${STORE_PASSWORD//\'/\'\'}'
create database store owner store
SQL
  echo "host store store all scram-sha-256" >> "$new/pg_hba.conf"
  mv "$new" "$PGDATA"
fi
unset STORE_PASSWORD
exec postgres -D "$PGDATA" "$@"
