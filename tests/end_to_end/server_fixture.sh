# Sourced by the shell tests: the real server, started from the runfiles and stopped at the end.

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# start_server FLAG...: sets ADDRESS and METRICS_ADDRESS once RPCs are served.
start_server() {
  local port_file=$TEST_TMPDIR/port
  # The system chose this port a moment ago: nobody else has it.
  METRICS_ADDRESS=127.0.0.1:$(/usr/bin/python3 -c \
    'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  server/eidetic-server --model="$PWD/engine/model/demo" --address=127.0.0.1:0 \
    --metrics_address="$METRICS_ADDRESS" --port_file="$port_file" "$@" \
    2>"$TEST_TMPDIR/server.log" &
  SERVER_PID=$!
  trap 'kill -KILL "$SERVER_PID" 2>/dev/null || true' EXIT
  local tries=0
  until [[ -s $port_file ]]; do
    kill -0 "$SERVER_PID" 2>/dev/null || fail "the server ended: $(cat "$TEST_TMPDIR/server.log")"
    [[ $((tries += 1)) -lt 600 ]] || fail "the server does not start"
    sleep 0.1
  done
  ADDRESS=127.0.0.1:$(<"$port_file")
}

# stop_server: as an orchestrator does; it must end well.
stop_server() {
  local status=0
  kill -TERM "$SERVER_PID"
  wait "$SERVER_PID" || status=$?
  [[ $status -eq 0 ]] || fail "the server ended with $status: $(cat "$TEST_TMPDIR/server.log")"
}
