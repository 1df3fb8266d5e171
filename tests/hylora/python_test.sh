#!/bin/bash
# python_test.sh TEST.py [ARGUMENT...]: a test of engine/hylora under Debian's own Python and torch.
set -euo pipefail
export PYTHONPATH=$PWD PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 "$@" "$TEST_TMPDIR"
