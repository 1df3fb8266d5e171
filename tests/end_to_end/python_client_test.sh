#!/bin/bash
# The contract from Python: stubs made from the .proto files, nothing of ours between.
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
start_server --max_pages=4096 --max_state_slots=128
PYTHONPATH=$stubs /usr/bin/python3 tests/end_to_end/python_client_test.py \
  "$ADDRESS" "$METRICS_ADDRESS"
stop_server
