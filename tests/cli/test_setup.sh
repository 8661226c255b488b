#!/bin/sh
# setup installs what is missing and ends with the status of its last run: its own steps stand-ins, a pith that answers or fails.
# Argument: setup.
set -eu
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cp "$1" "$root/setup"
mkdir -p "$root/bin" "$root/build"
for name in sh env dirname grep tail nproc; do ln -s "$(command -v $name)" "$root/bin/$name"; done # no sudo
cat >"$root/bin/dpkg-query" <<'QUERY'
#!/bin/sh
for package; do :; done
case " $MISSING " in *" $package "*) exit 1 ;; esac
echo install ok installed
QUERY
printf '#!/bin/sh\necho "$USER_ID"\n' >"$root/bin/id"
printf '#!/bin/sh\necho "$*" >>%s/installed\nexit "$APT_STATUS"\n' "$root" >"$root/bin/apt-get"
printf '#!/bin/sh\n' >"$root/bin/cmake"
cat >"$root/build/pith" <<'PITH'
#!/bin/sh
echo "$1 $2"
exit "$RUN_STATUS"
PITH
chmod +x "$root"/bin/dpkg-query "$root"/bin/id "$root"/bin/apt-get "$root"/bin/cmake "$root/build/pith"
export RUN_STATUS=0 APT_STATUS=0 USER_ID=0 MISSING=
fail() {
  echo "$1"
  exit 1
}
run_setup() { PATH=$root/bin sh "$root/setup"; }

last=$(run_setup | tail -n 1)
[ "$last" = "run models/zoo/sst2-small.pith" ] || fail "setup ends with '$last'"
[ ! -e "$root/installed" ] || fail "nothing is missing, and it ran apt-get $(cat "$root/installed")"
RUN_STATUS=1
if run_setup >/dev/null; then fail "setup succeeds although its run failed"; fi
RUN_STATUS=0

MISSING="libcjson-dev cmake"
run_setup >/dev/null || fail "setup fails where it can install"
[ "$(cat "$root/installed")" = "update
install -y --no-install-recommends cmake libcjson-dev" ] || fail "it ran apt-get $(cat "$root/installed")"
APT_STATUS=1
if run_setup >/dev/null; then fail "setup succeeds although apt-get failed"; fi
USER_ID=1000
if run_setup >/dev/null 2>"$root/said"; then fail "setup succeeds without the right to install"; fi
[ "$(cat "$root/said")" = "setup: Debian packages are missing, and installing them needs root or sudo: cmake libcjson-dev" ] ||
  fail "setup says '$(cat "$root/said")'"
MISSING=
run_setup >/dev/null || fail "setup needs root where nothing is missing"
