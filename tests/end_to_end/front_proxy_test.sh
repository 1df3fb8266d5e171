#!/bin/bash
# The front proxy of deploy/haproxy before a real server, under a flood.
set -euo pipefail
source tests/end_to_end/server_fixture.sh

stubs=$TEST_TMPDIR/stubs
mkdir -p "$stubs"
(
  cd proto
  protoc --proto_path=. --python_out="$stubs" --grpc_python_out="$stubs" \
    --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" \
    eidetic/v1/*.proto google/rpc/*.proto
)
start_server
front=127.0.0.1:$(/usr/bin/python3 -c \
  'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Debian's haproxy stands in a folder of root's.
EIDETIC_FRONT=$front EIDETIC_SERVER=$ADDRESS EIDETIC_METRICS_HOST=${METRICS_ADDRESS%:*} \
  EIDETIC_METRICS_PORT=${METRICS_ADDRESS##*:} PATH=$PATH:/usr/sbin \
  haproxy -db -f deploy/haproxy/haproxy.cfg >"$TEST_TMPDIR/haproxy.log" 2>&1 &
HAPROXY_PID=$!
trap 'kill -KILL "$SERVER_PID" "$HAPROXY_PID" 2>/dev/null || true' EXIT
tries=0
until (exec 3<>"/dev/tcp/${front%:*}/${front##*:}") 2>/dev/null; do
  [[ $((tries += 1)) -lt 100 ]] || fail "haproxy: $(cat "$TEST_TMPDIR/haproxy.log")"
  sleep 0.1
done
PYTHONPATH=$stubs /usr/bin/python3 tests/end_to_end/front_proxy_test.py \
  "$front" "$METRICS_ADDRESS" || fail "$(cat "$TEST_TMPDIR/haproxy.log")"
kill -TERM "$HAPROXY_PID"
stop_server
