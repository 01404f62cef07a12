#!/usr/bin/env bash
# `go test` for machines that are busier than a developer's: what fails is run once more, the whole test and nothing else. What passes then is
# named in the report and printed with its first failure; a data race, or more than six failures (a subtest and its test are two), are final at once.
# A test that draws its faults draws the same ones again: give it a seed (NEURONX_TEST_SEED).
#
#   deploy/ci/gotest.sh [flags of go test] packages     packages begin with a dot
#
# NEURONX_CI_FLAKY   the file that the report is added to
set -euo pipefail
packages=() flags=()
for a in "$@"; do
  case $a in . | ./*) packages+=("$a") ;; *) flags+=("$a") ;; esac
done
[ ${#packages[@]} -gt 0 ] || { echo "gotest.sh: no packages; give at least one that begins with a dot, such as ./..." >&2; exit 2; }
report=$(mktemp)
trap 'rm -f "$report"' EXIT
failed=0
gotestsum --format standard-quiet --hide-summary=skipped --rerun-fails=1 --rerun-fails-max-failures=6 --rerun-fails-run-root-test \
  --rerun-fails-abort-on-data-race --rerun-fails-report="$report" --packages="${packages[*]}" -- ${flags[@]+"${flags[@]}"} || failed=$?
[ -z "${NEURONX_CI_FLAKY:-}" ] || cat "$report" >>"$NEURONX_CI_FLAKY"
exit "$failed"
