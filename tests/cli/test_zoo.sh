#!/bin/sh
# The classifier that comes with Pith: small, it answers, and where SST-2 is there (PITH_DATA) it is as accurate as models/zoo/README.md
# says, to the row: INT8 answers are the same bits on every CPU. Arguments: pith, the source folder.
set -eu
pith=$1 source=$2
model=$source/models/zoo/sst2-small.pith
data=${PITH_DATA:-$source/../shared/data}/sst2/test.tsv
fail() {
  echo "$1"
  exit 1
}
bytes=$(stat -c %s "$model")
[ "$bytes" -le 7000000 ] || fail "$bytes bytes, over 7,000,000"
expect() { # label, text
  said=$("$pith" run "$model" --text "$2" | head -n 1)
  case $said in
  *"$1"*) ;;
  *) fail "'$2' is '$said', not $1" ;;
  esac
}
expect positive "A quiet film that earns every tear."
expect negative "two hours of my life that i will never get back"
expect positive "not a bad film at all"
expect negative "Zzyzx-like tedium — 不!" # words that its vocabulary has in pieces only
[ -e "$data" ] || { echo "without $data: not measured"; exit 0; }
right=$("$pith" eval "$model" --task sst2 --data "$data" --json |
  sed -E 's/.*"n":([0-9]+).*"accuracy":([0-9.]+).*/\1 \2/' | awk '{ printf "%.4f of %d", $1 * $2, $1 }')
said=$(sed -nE 's/^\| test \(872 rows\) \|.* ([0-9]+) right.*/\1.0000 of 872/p' "$source/models/zoo/README.md")
[ "$right" = "$said" ] || fail "$right right, models/zoo/README.md says $said"
