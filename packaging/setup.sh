#!/bin/sh
# Prepares a Debian 12 machine and this checkout: Debian packages, the locked Python environment,
# the compiled eBPF programs and the lab guest's kernel. Each step is skipped when its result is
# already there, so a second run takes about a second. Usage: packaging/setup.sh [STEP...]
# Steps: packages python bpf guest console (default: these, in this order), and clients, peers, router, exporters
# and browser, which only tests need.
set -eu
cd "$(dirname "$0")/.."
log=build/setup.log
# Debian's own, which packages and services run as well: it is built with optimisations that versions
# built from source seldom have, and is up to half as fast again as these.
python3=/usr/bin/python3
"$python3" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || python3=python3
if [ -t 1 ]; then bold=$(printf '\033[1m'); dim=$(printf '\033[2m'); off=$(printf '\033[0m'); else bold=; dim=; off=; fi
total=0; current=0
for _ in ${*:-packages python bpf guest console}; do total=$((total + 1)); done

begin() { current=$((current + 1)); started=$(date +%s); printf '%s[%d/%d]%s %s ... ' "$bold" "$current" "$total" "$off" "$1"; }
finish() { printf '%s %s(%ds)%s\n' "$1" "$dim" "$(($(date +%s) - started))" "$off"; }
signs_of_life() {
    # For as long as this script lives: what is going on, behind the cursor of a terminal; elsewhere the seconds.
    if [ -t 1 ]; then every=1; else every=30; fi
    while sleep "$every" >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        seconds=$(($(date +%s) - started))
        if [ -t 1 ]; then
            doing=$(tail -n 1 "$log" | tr -cd '[:print:]' | cut -c1-50)
            printf '\0337%s%ds %s%s\033[K\0338' "$dim" "$seconds" "$doing" "$off"
        else
            printf '%ds ... ' "$seconds"
        fi
    done
}
quietly() {
    # Runs a command with its output in the log; on failure shows the end of it and stops.
    signs_of_life &
    signs=$!
    if "$@" >>"$log" 2>&1; then failed=; else failed=yes; fi
    kill "$signs" 2>/dev/null || :
    wait "$signs" 2>/dev/null || :
    if [ -t 1 ]; then printf '\033[K'; fi
    [ -n "$failed" ] || return 0
    printf 'FAILED\n\n'; tail -n 25 "$log"
    printf '\nThe step "%s" failed; the whole output is in %s\n' "$*" "$log" >&2; exit 1
}

missing_packages() {
    missing=
    for package in $(grep -v '^#' packaging/debian-packages.txt); do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
    done
    "$python3" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
}

install_missing() {
    export DEBIAN_FRONTEND=noninteractive
    # Services (FRR, etcd) must not come up by themselves: labs and tests start their own, in namespaces.
    guard=/usr/sbin/policy-rc.d; own=
    [ -e "$guard" ] || { printf '#!/bin/sh\nexit 101\n' >"$guard"; chmod +x "$guard"; own=yes; }
    trap '[ -z "$own" ] || rm -f "$guard"' EXIT
    quietly apt-get update
    # shellcheck disable=SC2086 # one word per package is meant
    quietly apt-get install -y --no-install-recommends $missing
    [ -z "$own" ] || rm -f "$guard"; own=
}

require_root() {
    # Before anything is begun: what can only fail later is told now.
    [ "$(id -u)" != 0 ] || return 0
    case " $* " in *' packages '*) missing_packages ;; *) missing= ;; esac
    why=
    [ -w . ] && [ -w build ] && { [ ! -e "$log" ] || [ -w "$log" ]; } || why="this checkout belongs to another user"
    [ -z "$missing" ] || why="Debian packages are missing:$missing"
    [ -n "$why" ] || return 0
    printf 'Skytrail needs root here: %s. Run it as root, for example: sudo make demo\n' "$why" >&2
    exit 1
}

packages() {
    begin 'Debian packages'
    missing_packages
    [ -n "$missing" ] || { finish 'already installed'; return; }
    printf 'installing%s ... ' "$missing"
    install_missing
    finish installed
}

python() {
    begin 'Python environment'
    stamp=.venv/.locked
    wanted=$(cat requirements-dev.lock pyproject.toml | sha256sum | cut -c1-64)
    # One that an older version set up with another interpreter.
    [ "$(readlink -f .venv/bin/python3)" = "$(readlink -f "$(command -v "$python3")")" ] || rm -rf .venv
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then finish 'already up to date'; return; fi
    "$python3" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { printf 'FAILED\n\nPython 3.11 or newer is needed; %s is %s\n' "$python3" "$("$python3" -V)" >&2; exit 1; }
    quietly "$python3" -m venv .venv
    quietly .venv/bin/pip install --disable-pip-version-check --require-hashes -r requirements-dev.lock
    quietly .venv/bin/pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf %s "$wanted" >"$stamp"
    finish 'installed from the lock'
}

bpf() {
    begin 'eBPF programs'
    quietly make -C bpf
    finish ready
}

guest() {
    begin 'Lab guest (kernel and initramfs)'
    quietly .venv/bin/python -m skytrail.lab.guest_image
    finish ready
}

console() {
    begin 'Web console'
    quietly console/build.sh
    finish ready
}

environment() {
    # environment NAME: build/NAME from packaging/NAME.lock, which names every dependency.
    place=build/$1; stamp=$place/.locked
    wanted=$(sha256sum <"packaging/$1.lock" | cut -c1-64)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    quietly "$python3" -m venv --clear "$place"
    # Without dependencies: the lock is complete, and the pins of one client do not build any more.
    quietly "$place/bin/pip" install --disable-pip-version-check --no-deps --require-hashes -r "packaging/$1.lock"
    printf %s "$wanted" >"$stamp"
    installed=yes
}

clients() {
    begin 'Old clients and BGP decoders for interop tests'
    installed=
    environment contrail-api-cli
    environment bgp-decoders
    if [ -n "$installed" ]; then finish 'installed from the locks'; else finish 'already up to date'; fi
}

more_packages() {
    # more_packages LIST: those of packaging/debian-packages-LIST.txt that are missing.
    missing=
    for package in $(grep -v '^#' "packaging/debian-packages-$1.txt"); do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || { finish 'already installed'; return; }
    install_missing
    finish installed
}

peers() {
    begin 'BGP routers for interop tests'
    more_packages peers
}

exporters() {
    begin 'Programs that export to analytics for interop tests'
    more_packages exporters
}

browser() {
    begin 'Browser for tests of the web console'
    more_packages browser
}

router() {
    begin 'Router guest for interop tests (kernel with MPLS, FRR)'
    quietly .venv/bin/python -m skytrail.lab.router_image
    finish ready
}

mkdir -p build 2>/dev/null || :
require_root "${*:-packages python bpf guest console}"
: >"$log"
for step in ${*:-packages python bpf guest console}; do
    case "$step" in
    packages | python | bpf | guest | console | clients | peers | router | exporters | browser) "$step" ;;
    *) printf 'setup.sh: unknown step "%s"; steps: packages python bpf guest console clients peers router exporters browser\n' "$step" >&2; exit 2 ;;
    esac
done
