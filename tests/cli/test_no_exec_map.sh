#!/bin/sh
# The main job under a filter that kills on any executable mapping. Arguments: pith, the preloaded filter, the source folder.
set -eu
pith=$1 filter=$2 source=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$pith" import "$source/tests/golden/models/sentence-mean-normalize" -o "$folder/m.pith"
plain=$("$pith" run "$folder/m.pith" --text "a good film" --json)
filtered=$(LD_PRELOAD="$filter" "$pith" run "$folder/m.pith" --text "a good film" --json --threads 2)
[ -n "$plain" ] && [ "$plain" = "$filtered" ] || { echo "answers differ under the filter"; exit 1; }
LD_PRELOAD="$filter" "$pith" import "$source/tests/golden/models/sentence-mean-normalize" -o "$folder/n.pith"
cmp "$folder/m.pith" "$folder/n.pith"
LD_PRELOAD="$filter" "$pith" bench "$folder/m.pith" --batch 2 --seq 20 --seconds 0.05 >/dev/null
if PITH_PLANT_EXEC=1 LD_PRELOAD="$filter" "$pith" --version >/dev/null 2>&1; then
  echo "the filter does not bite"
  exit 1
fi
