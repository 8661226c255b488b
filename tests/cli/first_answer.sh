#!/bin/bash
# Process start to first answer, warm cache: the median, in milliseconds, of 21 runs of `pith run M.pith --text`.
# Arguments: pith, a model; more go to pith run (--threads 1).
set -eu
pith=$1 model=$2
shift 2
for _ in $(seq 21); do
  begin=${EPOCHREALTIME/./}
  "$pith" run "$model" --text "The harbour was quiet at dawn." "$@" >/dev/null
  echo $((${EPOCHREALTIME/./} - begin))
done | sort -n | awk '{ t[NR] = $1 } END { printf "%.1f ms (fastest %.1f, slowest %.1f)\n", t[11] / 1e3, t[1] / 1e3, t[NR] / 1e3 }'
