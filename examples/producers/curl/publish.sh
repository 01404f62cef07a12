#!/usr/bin/env bash
# Publishes events over HTTP:
#   NEURONX_HTTP_URL=http://127.0.0.1:8080 NEURONX_API_KEY=nx_... ./publish.sh < ../leads.jsonl
#
# The input has a CloudEvent a line, in the JSON format. The output has a line for each: ok (202, Kafka holds it), failed (refused, a
# repeat would be refused as well) or unknown (no answer was to be had; run it again with the same input). Exit code 0: all ok.
set -euo pipefail
: "${NEURONX_HTTP_URL:?is the URL of the HTTP endpoint}" "${NEURONX_API_KEY:?names the tenant}"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
result=0

while IFS= read -r event; do
  id=$(jq -er .id <<<"$event")
  # --retry repeats 408, 429, 500, 502, 503 and 504 and waits as long as Retry-After says. --retry-all-errors adds the unknown outcomes:
  # a connection that broke, an answer that did not come within --max-time. Both are safe because the key stays the same: what the
  # engine has already is dropped as a duplicate.
  status=$(curl --silent --show-error --output "$answer" --write-out '%{http_code}' \
    --max-time 10 --retry 10 --retry-all-errors --retry-max-time 180 \
    --header "Authorization: Bearer $NEURONX_API_KEY" --header 'Content-Type: application/cloudevents+json' \
    --header "Idempotency-Key: $id" --data-binary @- "$NEURONX_HTTP_URL/v1/events" <<<"$event") || status=000
  case $status in
    202) outcome=ok ;;
    000 | 408 | 429 | 5??) outcome=unknown result=1 ;;
    *) outcome=failed result=1; jq -r '"\(.code): \(.detail)"' "$answer" >&2 ;;
  esac
  jq -cn --arg id "$id" --arg outcome "$outcome" '{id: $id, outcome: $outcome}'
done
exit $result
