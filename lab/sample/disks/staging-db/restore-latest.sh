#!/bin/sh
# Puts prod's newest backup in place of this machine's orders.
set -eu
cd "$HOME"
name=$(backup-share get shop.db.new)
said=$(sqlite3 -readonly shop.db.new "pragma integrity_check" \
    "select count(*) || ' orders, the newest of ' || max(placed) from orders")
[ "${said%%
*}" = ok ] || { echo "$name is damaged: $said" >&2; exit 1; }
./ordersctl stop
mv shop.db.new shop.db
./ordersctl start
echo "$name: ${said##*
}"
