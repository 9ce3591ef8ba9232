#!/bin/sh
# Puts the files back that keep.sh kept.
set -eu
kept=$HOME/app.before-$QUARTERDECK_VERSION
[ -d "$kept" ] || { echo "there is no $kept: nothing was kept, so nothing is put back" >&2; exit 1; }
rm -rf "$HOME/app"
cp -a "$kept" "$HOME/app"
echo "back to $(cat "$HOME/app/VERSION")"
