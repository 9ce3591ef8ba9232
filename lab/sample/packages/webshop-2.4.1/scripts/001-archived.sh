#!/bin/sh
# Adds orders.archived. Said twice, it does nothing: it looks for the column first.
set -eu
cd "$HOME"
there=$(sqlite3 shop.db "select count(*) from pragma_table_info('orders') where name = 'archived'")
if [ "$there" = 0 ]; then
    sqlite3 shop.db ".timeout 5000" "alter table orders add column archived integer not null default 0"
fi
sqlite3 shop.db "select count(*) || ' orders, ' || sum(archived) || ' of them archived' from orders"
