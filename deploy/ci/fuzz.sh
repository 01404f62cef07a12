#!/usr/bin/env bash
# Runs every fuzz target of the root module for the given time each (default 10s).
set -euo pipefail
cd "$(dirname "$0")/../.."
time=${1:-10s}
grep -rl --include='*_test.go' '^func Fuzz' pkg services | xargs -n1 dirname | sort -u | while read -r dir; do
  grep -rhoE '^func (Fuzz[A-Za-z0-9_]+)' "$dir"/*_test.go | awk '{print $2}' | sort -u | while read -r target; do
    echo "fuzz ./$dir $target $time"
    go test "./$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$time"
  done
done
