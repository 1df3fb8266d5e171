#!/bin/bash
# A key made by 'eidetic keys new' opens the real server, to the real client.
set -euo pipefail
source tests/end_to_end/server_fixture.sh

new_key() { clients/cli/eidetic keys new --json "$@"; }
part() { /usr/bin/python3 -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$@"; }

made=$(new_key --id ci --tenant acme)
keys=$TEST_TMPDIR/keys.json
/usr/bin/python3 -c 'import json, sys
print(json.dumps({"keys": [json.loads(sys.argv[1])["entry"]]}))' "$made" >"$keys"
start_server --api_keys="$keys" --max_pages=1024 --max_state_slots=16
export EIDETIC_SERVER=$ADDRESS

status=0
clients/cli/eidetic models 2>"$TEST_TMPDIR/err" || status=$?
[[ $status -eq 1 ]] || fail "without a key it exited with $status"
grep -q UNAUTHENTICATED "$TEST_TMPDIR/err" || fail "it said: $(cat "$TEST_TMPDIR/err")"

part "$made" key >"$TEST_TMPDIR/key"
clients/cli/eidetic --api-key-file "$TEST_TMPDIR/key" models >/dev/null || fail "the key file"
export EIDETIC_API_KEY
EIDETIC_API_KEY=$(part "$made" key)
echo "Once upon a time" | clients/cli/eidetic --tenant acme ingest - --session tale >/dev/null ||
  fail "its own tenant"
status=0
clients/cli/eidetic --tenant other sessions ls 2>"$TEST_TMPDIR/err" || status=$?
[[ $status -eq 3 ]] || fail "another tenant's list exited with $status"
EIDETIC_API_KEY=$(part "$(new_key --id ci --tenant acme)" key)
! clients/cli/eidetic models 2>"$TEST_TMPDIR/err" || fail "a key that is in no file was taken"
stop_server
