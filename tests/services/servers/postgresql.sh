#!/bin/sh
# Makes a PostgreSQL database of Debian's package and serves it, to everybody who can connect.
set -e
cd /usr/lib/postgresql/*/bin
./initdb --pgdata=/tmp/data --encoding=UTF8 --username=orders --auth=trust >/dev/null
echo 'host all all all trust' >>/tmp/data/pg_hba.conf
exec ./postgres -D /tmp/data -k /tmp -c 'listen_addresses=*' -c fsync=off
