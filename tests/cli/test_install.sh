#!/bin/sh
# Installs into an empty prefix and builds the examples against it, by pkg-config and by find_package, and C++ programs; runs
# them on models. Checks libpith.so's size and what it needs. Arguments: build folder, source folder, C and
# C++ compiler, sanitizer flags.
set -eu
build=$1 source=$2 cc=$3 cxx=$4 flags=${5-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
prefix=$folder/prefix
cmake --install "$build" --prefix "$prefix" >"$folder/log"
for file in bin/pith include/pith/pith.h include/pith/train.h share/man/man1/pith.1 share/bash-completion/completions/pith \
  share/pith/recipe.schema.json; do
  [ -s "$prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
bash -n "$prefix/share/bash-completion/completions/pith"
library=$(dirname "$(find "$prefix" -name libpith.so)")
[ -e "$library/libpith.a" ]
export PKG_CONFIG_PATH="$library/pkgconfig" LD_LIBRARY_PATH="$library"

"$prefix/bin/pith" import "$source/tests/golden/models/sentence-mean-normalize" -o "$folder/m.pith"
wanted=$("$prefix/bin/pith" run "$folder/m.pith" --text "a good film" | wc -w)

# shellcheck disable=SC2046,SC2086
"$cc" -std=c11 -Wall -Wextra -Werror $flags "$source/docs/examples/service.c" $(pkg-config --cflags --libs pith) -o "$folder/service"
# shellcheck disable=SC2046,SC2086
"$cc" -std=c11 $flags "$source/docs/examples/service.c" $(pkg-config --cflags pith) \
  $(pkg-config --static --libs pith | sed "s#-lpith\( \|\$\)#$library/libpith.a #") -o "$folder/service-static"
# shellcheck disable=SC2046,SC2086
"$cxx" -std=c++17 -Wall -Wextra -Werror $flags "$source/tests/cli/header.cc" $(pkg-config --cflags --libs pith) -o "$folder/header"
# shellcheck disable=SC2046,SC2086
"$cxx" -std=c++17 -Wall -Wextra -Werror $flags "$source/tests/cli/header_train.cc" $(pkg-config --cflags --libs pith-compress) \
  -o "$folder/header-train"
count_names() { # header, the C++ file that names its functions
  declared=$(grep '^PITH_API ' "$prefix/include/pith/$1" | grep -c 'pith_[a-z_]*(')
  named=$(grep -o 'PITH_ADDRESS(pith_[a-z_]*)' "$source/tests/cli/$2" | sort -u | grep -c .)
  [ "$declared" -eq "$named" ] || { echo "$1 declares $declared functions, tests/cli/$2 names $named"; exit 1; }
}
count_names pith.h header.cc
count_names train.h header_train.cc
"$folder/header-train"
mkdir "$folder/project"
cat >"$folder/project/CMakeLists.txt" <<PROJECT
cmake_minimum_required(VERSION 3.25)
project(service C)
find_package(pith 0.1 REQUIRED)
add_executable(service "$source/docs/examples/service.c")
target_link_libraries(service PRIVATE pith::pith)
add_executable(service_static "$source/docs/examples/service.c")
target_link_libraries(service_static PRIVATE pith::pith_static)
add_executable(train "$source/docs/examples/train.c")
target_link_libraries(train PRIVATE pith::pith_compress)
PROJECT
CC=$cc CFLAGS=$flags cmake -S "$folder/project" -B "$folder/project/build" -DCMAKE_PREFIX_PATH="$prefix" >"$folder/log"
cmake --build "$folder/project/build" >"$folder/log" || { cat "$folder/log"; exit 1; }
for service in "$folder/service" "$folder/service-static" "$folder/project/build/service" "$folder/project/build/service_static"; do
  got=$(printf 'a good film\n' | "$service" "$folder/m.pith" | wc -w)
  [ "$got" -eq "$wanted" ] && [ "$got" -gt 8 ] || { echo "$service gives $got numbers, not $wanted"; exit 1; }
done
"$folder/header" "$folder/m.pith"
printf 'text\tlabel\na film\tno\n' >"$folder/rows.tsv"
"$prefix/bin/pith" train "$folder/m.pith" --head classification --labels no,yes --task classification --data "$folder/rows.tsv" \
  --max-steps 1 --threads 1 -o "$folder/c.pith" >"$folder/log"
"$folder/project/build/train" "$folder/c.pith" "$folder/trained.pith" 0.003 >"$folder/losses"
awk 'NR == 1 { first = $2 } { last = $2 } END { exit !(NR == 100 && last < first / 2) }' "$folder/losses" || {
  echo "the example's losses do not fall:"
  cat "$folder/losses"
  exit 1
}
"$prefix/bin/pith" run "$folder/trained.pith" --text "a good film" >"$folder/answer"
[ -s "$folder/answer" ]

[ -z "$flags" ] || exit 0 # sanitizers add libraries and size
strip -o "$folder/stripped.so" "$library/libpith.so"
size=$(stat -c %s "$folder/stripped.so")
[ "$size" -le 1500000 ] || { echo "libpith.so has $size bytes stripped, over 1500000"; exit 1; }
extra=$(ldd "$library/libpith.so" | awk '{print $1}' |
  grep -vE '^(linux-vdso|libc|libm|libpthreadpool|libutf8proc|libpthread|/lib64/ld-linux-x86-64)\.so' || true)
[ -z "$extra" ] || { echo "libpith.so needs $extra"; exit 1; }
