#!/bin/bash
# Metrics, rules and dashboard together: a real Prometheus scrapes a real server under load.
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
cmp <(/usr/bin/python3 deploy/grafana/make_dashboard.py) deploy/grafana/eidetic.json ||
  fail "deploy/grafana/eidetic.json is not what make_dashboard.py makes"
promtool check config deploy/prometheus/prometheus.yml

start_server --data_folder="$TEST_TMPDIR/data" --max_sessions=4 --metrics_tenants=acme \
  --checkpoint_idle=300ms --sleep_after=1s --log_format=json
prometheus_port=$(/usr/bin/python3 -c \
  'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed -e 's/15s/1s/' -e "s/127.0.0.1:9464/$METRICS_ADDRESS/" \
  -e "s|- \(.*_rules.yml\)|- $PWD/deploy/prometheus/\1|" \
  -e "s|- alerts.yml|- $PWD/deploy/prometheus/alerts.yml|" \
  deploy/prometheus/prometheus.yml >"$TEST_TMPDIR/prometheus.yml"
prometheus --config.file="$TEST_TMPDIR/prometheus.yml" \
  --storage.tsdb.path="$TEST_TMPDIR/prometheus" \
  --web.listen-address="127.0.0.1:$prometheus_port" 2>"$TEST_TMPDIR/prometheus.log" &
PROMETHEUS_PID=$!
trap 'kill -KILL "$SERVER_PID" "$PROMETHEUS_PID" 2>/dev/null || true' EXIT

PYTHONPATH=$stubs /usr/bin/python3 tests/end_to_end/dashboard_test.py \
  "$ADDRESS" "$METRICS_ADDRESS" "127.0.0.1:$prometheus_port" "$TEST_TMPDIR/server.log" ||
  fail "$(tail -5 "$TEST_TMPDIR/prometheus.log")"
kill -TERM "$PROMETHEUS_PID"
stop_server
