#!/bin/sh
# Takes orders.archived away again, and with it what was archived since.
set -eu
cd "$HOME"
there=$(sqlite3 shop.db "select count(*) from pragma_table_info('orders') where name = 'archived'")
if [ "$there" = 1 ]; then
    sqlite3 shop.db ".timeout 5000" "alter table orders drop column archived"
fi
