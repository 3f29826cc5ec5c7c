#!/bin/sh
# Is a new strong-lens finder worse than the one in use? Written by lensaudit ci-template.
#
#   NEW=runs/new BASELINE=models/finder SET=data/test sh gate.sh
#
# Exit codes: 0 no regression; 1 a regression (FAIL_ON), after the page is written; 2 the command is wrong;
# 3 the data or weights are; 4 the machine gave out (disk, memory): try again.
set -u
: "${NEW:?folder of the new finder}" "${BASELINE:?folder or name of the finder in use}" "${SET:?labelled lens set}"
lensaudit compare "$NEW" --baseline "$BASELINE" --set "$SET" \
  --probe "${PROBE:-none}" --judge-n 0 --no-speed \
  --tolerance "${TOLERANCE:-0.05}" --fail-on "${FAIL_ON:-regression}" --out "${OUT:-gate}"
code=$?
if [ "$code" -eq 1 ]; then
  echo "the new finder is worse than the one in use: see ${OUT:-gate}/compare.html" >&2
fi
exit "$code"
