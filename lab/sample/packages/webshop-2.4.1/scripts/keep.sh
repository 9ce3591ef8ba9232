#!/bin/sh
# Keeps the present files for the way back. Said twice, it keeps the first: those are the old ones.
set -eu
kept=$HOME/app.before-$QUARTERDECK_VERSION
[ -d "$kept" ] || cp -a "$HOME/app" "$kept"
