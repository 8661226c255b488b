#!/bin/sh
# Planted #includes that the table forbids must be found. Arguments: the checking script.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/ops" "$folder/engine"
echo '#include "engine/ir/graph.h"' >"$folder/ops/a.c"
echo '#include "ops/kernel.h"' >"$folder/engine/b.c"
if sh "$1" - "$folder" >"$folder/log"; then echo "not found"; exit 1; fi
grep -q "ops may not include engine" "$folder/log"
rm "$folder/ops/a.c"
sh "$1" - "$folder"
for line in '#include <engine/ir/graph.h>' '#include "../engine/ir/graph.h"' '# include "x86/../../engine/ir/graph.h"'; do
  echo "$line" >"$folder/ops/a.c"
  if sh "$1" - "$folder" >"$folder/log"; then echo "not found: $line"; exit 1; fi
done
