#!/usr/bin/env bash
# Takes the pictures of docs/screenshots anew, from the real program in a real
# browser, while the tests go through its pages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

taken=$(mktemp -d)
trap 'rm -rf "$taken"' EXIT
E2E_SCREENSHOTS=$taken go test -tags e2e -count=1 -run 'TestMainJob|TestPolicies|TestAdminHelps/with_JavaScript' ./e2e/...
mkdir -p docs/screenshots
for name in overview-1280-light audit-1280-light api-keys-1280-dark mfa-enrol-360-light users-1280-light policy-confirm-1280-dark; do
  cp "$taken/$name.png" docs/screenshots/
done
