#!/bin/sh
# The #include lines of each folder against the table of docs/architecture.md: who may include whom. Argument: the source
# folder. With a second argument, a folder to check in place of the source.
set -eu
source=${2-$1}
cd "$source"
all="ops engine models compiler quant sparse train cli bench"
bad=0 lines=0
check() { # folder, the folders that it may include
  [ -d "$1" ] || return 0
  found=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' "$1" --include=*.c --include=*.h --include=*.cc || true)
  # A path upwards would hide which folder it reaches.
  wrong=$(printf '%s\n' "$found" | grep -E '["</]\.\./' || true)
  [ -z "$wrong" ] || { echo "$1 may not include by ../:"; echo "$wrong"; bad=1; }
  for other in $all; do
    case " $1 $2 " in *" $other "*) continue ;; esac
    wrong=$(printf '%s\n' "$found" | grep "[\"<]$other/" || true)
    [ -z "$wrong" ] || { echo "$1 may not include $other:"; echo "$wrong"; bad=1; }
  done
  lines=$((lines + $(printf '%s\n' "$found" | grep -c . || true)))
}
check ops ""
check engine "ops"
check models "engine"
check compiler "ops engine models"
check quant "ops engine models compiler"
check sparse "ops engine models compiler quant"
check train "ops engine models compiler quant sparse"
check cli "$all"
check bench "$all"
[ "$lines" -gt 0 ] || { echo "no #include line found in $source"; exit 1; }
exit $bad
