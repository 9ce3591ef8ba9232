#!/bin/sh
# The nightly backup: a consistent copy of the orders, checked, on the backup server.
set -eu
cd "$HOME"
name=orders-$(date -u +%Y%m%dT%H%M%SZ).db
trap 'rm -f "$name"' EXIT
sqlite3 shop.db ".timeout 5000" ".backup $name"
said=$(sqlite3 -readonly "$name" "pragma integrity_check" "select count(*) || ' orders' from orders")
[ "${said%%
*}" = ok ] || { echo "$name is damaged: $said" >&2; exit 1; }
backup-share put "$name"
echo "$name: ${said##*
}"
