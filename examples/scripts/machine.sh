#!/usr/bin/env bash
# A script that is started for each job. Its arguments are JSON, on standard input and in the file
# that TRIOWORKER_ARGS names; it leaves its result, JSON too, in the file TRIOWORKER_RESULT.
set -euo pipefail

echo "looking at $(uname -n)" # what it prints is its log

printf '{"asked": %s, "system": "%s", "attempt": %d}\n' \
    "$(cat "$TRIOWORKER_ARGS")" "$(uname -s)" "$TRIOWORKER_ATTEMPT" >"$TRIOWORKER_RESULT"
