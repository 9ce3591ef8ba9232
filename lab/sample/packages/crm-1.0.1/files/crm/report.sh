#!/bin/sh
# How many contacts there are, and of how many companies: one counts once, however it is written.
set -eu
file=${0%/*}/contacts.csv
companies=$(tail -n +2 "$file" | cut -d , -f 2 | tr '[:upper:]' '[:lower:]' | sed 's/ *$//' | sort -u | wc -l)
echo "$(($(wc -l <"$file") - 1)) contacts of $companies companies"
