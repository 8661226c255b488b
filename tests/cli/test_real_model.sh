#!/bin/sh
# Real models through the command. Arguments: pith, the source folder, and which: stsb (all-MiniLM-L6-v2's Spearman x 100 is
# 82.03), sst2 (777 of 872 right), start (process start to first answer), memory (resident at 8 x 128), size (of the INT8 files), ranges (what
# `eval --ranges` says of other languages). Exits 77 where
# data or model are absent: PITH_DATA, PITH_MODELS, PITH_MINILM say where they are.
set -eu
pith=$1 source=$2 which=$3
data=${PITH_DATA:-$source/../shared/data} models=${PITH_MODELS:-$source/../shared/models}
minilm=${PITH_MINILM:-$source/build/models/all-MiniLM-L6-v2}
need() {
  for path in "$@"; do
    [ -e "$path" ] || { echo "SKIPPED: $path is absent"; exit 77; }
  done
}
case $which in
stsb) model=$minilm file=$data/stsb/stsb-en-test.csv; need "$model/config.json" "$file" ;;
sst2) model=$models/minilm-sst2 file=$data/sst2/test.tsv; need "$model/config.json" "$file" ;;
start | memory | size | ranges) model=$minilm; need "$model/config.json" ;;
*) echo "no part '$which'"; exit 1 ;;
esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$pith" import "$model" -o "$folder/m.pith"
field() { sed -E "s/.*\"$1\":([-0-9.e+]+).*/\1/"; }

case $which in
stsb)
  spearman=$("$pith" eval "$folder/m.pith" --task stsb --data "$file" --json | field spearman)
  awk "BEGIN { exit !(sprintf(\"%.2f\", 100 * $spearman) == \"82.03\") }" || { echo "Spearman x 100 is not 82.03: $spearman"; exit 1; }
  ;;
sst2)
  line=$("$pith" eval "$folder/m.pith" --task sst2 --data "$file" --json)
  rows=$(echo "$line" | field n) accuracy=$(echo "$line" | field accuracy)
  right=$(awk "BEGIN { printf \"%.6f\", $accuracy * $rows }")
  [ "$rows $right" = "872 777.000000" ] || { echo "$right of $rows right, not 777 of 872"; exit 1; }
  ;;
start)
  # The bar is 15 ms on a core of its own. Here others run beside it: three times that, and the fastest of 21.
  said=$(bash "$source/tests/cli/first_answer.sh" "$pith" "$folder/m.pith")
  echo "$said"
  fastest=$(echo "$said" | sed -E 's/.*fastest ([0-9.]+).*/\1/')
  awk "BEGIN { exit !($fastest > 0 && $fastest <= 45) }" || { echo "start to first answer: $fastest ms, over 45"; exit 1; }
  ;;
ranges)
  # Calibrated on English: other languages leave its ranges, more of them and further than English does.
  english=$source/tests/golden/minilm/sentences.txt other=$source/tests/cli/other_languages.txt
  "$pith" quantize "$folder/m.pith" --data "$english" -o "$folder/q.pith"
  exceeded() {
    "$pith" eval "$folder/q.pith" --ranges --data "$1" 2>&1 >"$folder/table" | sed -E 's/.*warning: ([0-9]+) of .*/\1/'
  }
  saturated() { awk -F'\t' 'NR > 1 { sum += $2 } END { print sum + 0 }' "$folder/table"; }
  few=$(exceeded "$english") few_saturated=$(saturated)
  many=$(exceeded "$other") many_saturated=$(saturated)
  echo "activations beyond their ranges: ${few:-0}, other languages ${many:-0}; saturated $few_saturated, $many_saturated"
  [ "${many:-0}" -gt "$((2 * ${few:-0}))" ] || { echo "no warning that tells the languages apart"; exit 1; }
  awk "BEGIN { exit !($many_saturated > 3 * $few_saturated && $many_saturated > 0) }" ||
    { echo "other languages do not saturate more"; exit 1; }
  ;;
size)
  "$pith" quantize "$folder/m.pith" --data "$source/tests/golden/minilm/sentences.txt" -o "$folder/static.pith"
  "$pith" quantize "$folder/m.pith" --mode dynamic -o "$folder/dynamic.pith"
  for mode in static dynamic; do
    bytes=$(stat -c %s "$folder/$mode.pith")
    echo "$mode: $bytes bytes"
    [ "$bytes" -gt 20000000 ] && [ "$bytes" -le 23500000 ] || { echo "over 23,500,000"; exit 1; }
  done
  ;;
memory)
  resident=$("$pith" bench "$folder/m.pith" --batch 8 --seq 128 --threads 1 --seconds 0.5 --json | field rss_bytes)
  bound=$(($(stat -c %s "$folder/m.pith") + 24000000))
  [ "$resident" -gt 1000000 ] && [ "$resident" -le "$bound" ] || { echo "$resident bytes resident, over $bound"; exit 1; }
  ;;
esac
