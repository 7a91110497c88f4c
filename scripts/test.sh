#!/usr/bin/env bash
# Runs every check of the project: generated code, format, vet, staticcheck,
# modules, tests with the race detector, and the pages in a real browser. On
# Debian, run as root, it first installs what is missing; otherwise it names
# what is missing and stops. A prepared machine needs no network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# SQLite and the race detector are C.
export CGO_ENABLED=1

current='start'
finish() {
  local status=$?
  [ "$status" -eq 0 ] || printf 'FAILED at: %s (exit %d, after %d s)\n' "$current" "$status" "$SECONDS" >&2
}
trap finish EXIT

# step TITLE COMMAND… announces the command, runs it and says how long it took.
step() {
  current=$1
  shift
  printf '==> %s\n' "$current"
  local began=$SECONDS
  "$@"
  printf '    took %d s\n' $((SECONDS - began))
}

fail() {
  printf '%s\n' "$@" >&2
  return 1
}

# have_c_compiler needs the headers too: a bare gcc has no stdlib.h.
have_c_compiler() {
  command -v gcc >/dev/null && printf '#include <stdlib.h>\n' | gcc -E - >/dev/null 2>&1
}

prepare() {
  command -v go >/dev/null || fail 'Go is missing. Install the version that go.mod names from https://go.dev/dl/'
  local missing=()
  have_c_compiler || missing+=(gcc libc6-dev)
  command -v chromium >/dev/null || missing+=(chromium)
  command -v zbarimg >/dev/null || missing+=(zbar-tools)
  command -v oathtool >/dev/null || missing+=(oathtool)
  command -v sqlite3 >/dev/null || missing+=(sqlite3)
  command -v git >/dev/null || missing+=(git)
  command -v rsyslogd >/dev/null || [ -x /usr/sbin/rsyslogd ] || missing+=(rsyslog)
  compgen -G '/usr/lib*/rsyslog/lmnsd_gtls.so' >/dev/null || compgen -G '/usr/lib/*/rsyslog/lmnsd_gtls.so' >/dev/null || missing+=(rsyslog-gnutls)
  [ ${#missing[@]} -gt 0 ] || return 0

  printf '    missing: %s\n' "${missing[*]}"
  local install="apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    fail 'The tests need these Debian packages or their like. As root:' "  apt-get update && $install"
  fi
  # Another program may be installing; apt would give up at once.
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q -o DPkg::Lock::Timeout=300 update
  apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}"
}

# sums prints the checksum and name of each generated view.
sums() {
  find . -name '*_templ.go' -not -path '*/node_modules/*' -print0 | sort -z | xargs -0 -r sha256sum
}

# generated compares before and after, so that it also works in a tree with
# changes that are not committed yet. It catches a generated file whose view is
# gone, too: the generator removes it.
generated() {
  local before after stale
  before=$(sums)
  go generate .
  after=$(sums)
  stale=$(diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") | sed -n 's/^[<>] [0-9a-f]*  //p' | sort -u) || true
  [ -z "$stale" ] || fail 'These files were stale. They are generated anew; commit them:' "$stale"
}

formatted() {
  local unformatted
  unformatted=$(find . -name '*.go' -not -name '*_templ.go' -not -path '*/node_modules/*' -print0 | xargs -0 gofmt -l)
  [ -z "$unformatted" ] || fail 'gofmt would change these files:' "$unformatted"
}

scripts_parse() {
  local script
  for script in .ci/run scripts/*.sh; do
    bash -n "$script"
  done
  if command -v shellcheck >/dev/null; then
    shellcheck .ci/run scripts/*.sh
  fi
}

modules_tidy() {
  go mod tidy -diff
  go -C tools mod tidy -diff
}

step 'what the tests need' prepare
step 'shell scripts' scripts_parse
step 'generated code is fresh' generated
step 'format' formatted
step 'modules are tidy' modules_tidy
step 'go vet' go vet -tags e2e ./...
step 'staticcheck' go tool -modfile=tools/go.mod staticcheck -tags e2e ./...
step 'tests with the race detector' go test -race ./...
step 'pages in a browser' go test -tags e2e -count=1 ./e2e/...
printf 'All checks passed in %d s.\n' "$SECONDS"
