#!/bin/bash
# Makes the system tables on an empty volume, then becomes MariaDB. The data directory gets its name when it is complete: a
# pod killed in between starts again from nothing and never on half a directory. Nobody has a password that is shared:
# root and mysql log in by the pod's own socket only, over the network there is the shop's user alone, without GRANT or SUPER.
set -euo pipefail
data=/var/lib/mysql/data
if [ ! -d "$data" ]; then
  rm -rf "$data.new"
  mariadb-install-db --defaults-file=/etc/urumi/my.cnf --datadir="$data.new" --auth-root-authentication-method=socket --auth-root-socket-user=mysql \
    --skip-test-db --innodb-flush-log-at-trx-commit=0 --innodb-flush-method=nosync >/tmp/install.log 2>&1 || { cat /tmp/install.log >&2; exit 1; }
  sync -f "$data.new"
  mv "$data.new" "$data"
fi
password=${STORE_PASSWORD//\\/\\\\}
password=${password//\'/\\\'}
unset STORE_PASSWORD
# Read at every start before the first connection, so that the Secret is right also after a restore from a backup.
(umask 077; cat >/run/mysqld/init.sql) <<SQL
CREATE DATABASE IF NOT EXISTS store;
CREATE USER IF NOT EXISTS store@'%';
ALTER USER store@'%' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON store.* TO store@'%';
SQL
exec mariadbd --defaults-file=/etc/urumi/my.cnf --init-file=/run/mysqld/init.sql
