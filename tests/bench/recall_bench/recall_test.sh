#!/bin/bash
# tests/bench/recall against the real server and the demo model at 2k tokens: measured, stopped,
# taken up again, told and drawn.
set -euo pipefail

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# As make_device_bundle lays them out.
bundle=$TEST_TMPDIR/bundle
mkdir -p "$bundle/bin"
cp -L server/eidetic-server tests/bench/recall_bench/recall_client "$bundle/bin/"

out=$TEST_TMPDIR/out
recall() {
  /usr/bin/python3 -B tests/bench/recall --prebuilt "$bundle" --device cpu --lengths 2k \
    --tasks single chat perplexity --settings exact two_stage window \
    --perplexity_settings two_stage --questions 8 --haystacks 2 --answer_lead --out "$out" "$@"
}

# Stopped as soon as it has begun: what is finished then stays.
recall --seconds 1 >"$TEST_TMPDIR/first"
finished=$(wc -l <"$out/results.jsonl")
[[ $finished -lt 13 ]] || fail "the first run was not stopped: $finished lines"
head --bytes=-20 "$out/results.jsonl" >"$TEST_TMPDIR/cut" # as a crash would leave it
cp "$TEST_TMPDIR/cut" "$out/results.jsonl"

recall >"$TEST_TMPDIR/report" 2>"$TEST_TMPDIR/progress"
# The run's own line, two haystacks of each task, eight slices.
lines=$(wc -l <"$out/results.jsonl")
[[ $lines -eq 13 ]] || fail "$lines lines, not 13: $(cut -c1-200 "$out/results.jsonl")"
grep -q '100%  12/12' "$TEST_TMPDIR/progress" || fail "no end of the progress bar"
for row in '^| single +| 2k +| trained +| (8|9|1[0-9])/2 ' '^| chat +| 2k +| held_out ' 'Perplexity'; do
  grep -Eq -- "$row" "$TEST_TMPDIR/report" || fail "no '$row' in: $(cat "$TEST_TMPDIR/report")"
done

recall >/dev/null 2>"$TEST_TMPDIR/progress"
[[ $(wc -l <"$out/results.jsonl") -eq 13 ]] || fail "a finished run measured something again"
! recall --seed 2 >/dev/null 2>"$TEST_TMPDIR/refused" || fail "another seed was taken"
grep -q 'seed differ' "$TEST_TMPDIR/refused" || fail "$(cat "$TEST_TMPDIR/refused")"

# The model is trained to answer such questions; at 2k tokens most facts lie beyond its window.
/usr/bin/python3 - "$out/cells.jsonl" <<'END' || fail "$(cat "$TEST_TMPDIR/report")"
import json, sys
cells = [json.loads(line) for line in open(sys.argv[1])]
recall = {
    (c["task"], c["settings"]): c["recall"]
    for c in cells
    if c["type"] == "recall" and c["phrasings"] == "trained"
}
for task in ("single", "chat"):
    assert recall[task, "exact"] >= 0.7, recall
    assert recall[task, "window"] <= recall[task, "exact"] - 0.3, recall
(perplexity,) = [c["perplexity"] for c in cells if c["type"] == "perplexity"]
assert 15 < perplexity < 60, perplexity
(hits,) = [c["hit_share"] for c in cells if c["type"] == "choice" and c["settings"] == "two_stage"]
assert hits > 0.99, hits
END

/usr/bin/python3 -B tests/bench/recall --report --plot --out "$out" >"$TEST_TMPDIR/drawn"
for plot in recall perplexity choices; do
  [[ $(head --bytes=4 "$out/$plot.png" | tail --bytes=3) == PNG ]] || fail "no $plot.png"
done
echo PASSED
