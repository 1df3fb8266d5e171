#!/bin/bash
# The texts, scores, intervals and files of tests/bench/recall.
set -euo pipefail
exec /usr/bin/python3 -B -m unittest tests.bench.recall_bench.generators_test \
  tests.bench.recall_bench.figures_test
