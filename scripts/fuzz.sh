#!/usr/bin/env bash
# Runs each fuzz target for a while: scripts/fuzz.sh [TIME], 30s each by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for package in $(go list ./...); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    printf '==> %s %s\n' "$package" "$target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" "$package"
  done
done
