#!/bin/bash
# golden.sh APP OUT: with a PostgreSQL and a Valkey of its own, migrates and seeds an empty database and dumps it to
# OUT/golden.sql as the template of all stores; then starts a store as its pod will, waits until it is ready and keeps which files
# that took (OUT/loaded.json) and V8's compiled code of them (OUT/compiled).
set -euo pipefail
app=$1 out=$2
# Ports of chance: an image may be built in the network of a machine on which the usual ones are taken.
export PGPORT=$((20000 + RANDOM % 2000)) PORT=$((22000 + RANDOM % 2000)) INTERNAL_PORT=$((24000 + RANDOM % 2000))
export PGDATA=/tmp/golden PGHOST=/tmp PGUSER=store PGDATABASE=store
initdb --username=postgres --auth=trust --encoding=UTF8 --locale-provider=builtin --locale=C.UTF-8 --no-sync >/dev/null
pg_ctl --wait --silent -l /tmp/golden.log -o "-c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp -c fsync=off" start
valkey-server --save "" --port 0 --unixsocket /tmp/valkey.sock --loglevel warning &
trap 'pg_ctl --mode=immediate --silent stop; kill $(jobs -p)' EXIT
# The database's owner, as in a store: what needs a superuser fails here and not on the first customer.
psql --username=postgres --dbname=postgres -qc "create role store login" -c "create database store owner store"

cd "$app"
export DATABASE_HOST=127.0.0.1 DATABASE_PORT=$PGPORT DATABASE_URL=postgres://store@127.0.0.1:$PGPORT/store
export REDIS_URL=/tmp/valkey.sock JWT_SECRET=build COOKIE_SECRET=build
node node_modules/@medusajs/cli/cli.js db:migrate
node node_modules/@medusajs/cli/cli.js exec ./src/scripts/seed.js

# --inserts: node-pg can run it. Comments on extensions are a superuser's; \restrict is psql's.
pg_dump --no-owner --no-privileges --no-comments --inserts --rows-per-insert=200 | grep -vE '^(\\(un)?restrict |--|$)' > "$out/golden.sql"
grep -q pk_TEMPLATE "$out/golden.sql"
grep -q admin@template.invalid "$out/golden.sql"

export DATABASE_PASSWORD=build PUBLISHABLE_KEY=pk_build IDENTITY_TOKEN=build ADMIN_EMAIL=build@template.invalid ADMIN_PASSWORD=build-password
RECORD=$out/loaded.json NODE_COMPILE_CACHE=$out/compiled node --import /build/record.mjs start/main.mjs &
server=$!
ready='fetch(`http://127.0.0.1:${process.env.INTERNAL_PORT}/-/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))'
until node -e "$ready"; do
  kill -0 $server # ends the build when the server has ended
  sleep 0.2
done
kill $server
wait $server
