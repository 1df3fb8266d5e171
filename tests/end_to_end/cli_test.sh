#!/bin/bash
# The real command line client against the real server: what it prints where, and how it exits.
set -euo pipefail
source tests/end_to_end/server_fixture.sh

out=$TEST_TMPDIR/out
err=$TEST_TMPDIR/err

# run EXIT_CODE ARGUMENT...: standard output in $out, standard error in $err.
run() {
  local wanted=$1 status=0
  shift
  EIDETIC_SERVER=$ADDRESS clients/cli/eidetic "$@" >"$out" 2>"$err" || status=$?
  [[ $status -eq $wanted ]] ||
    fail "'eidetic $*' exited with $status, not $wanted: $(cat "$out" "$err")"
}

# Success says nothing on standard error; failure nothing on standard output.
says() {
  run 0 "$@"
  [[ ! -s $err ]] || fail "'eidetic $*' on standard error: $(cat "$err")"
}
refuses() {
  run "$@"
  [[ ! -s $out ]] || fail "'eidetic ${*:2}' on standard output: $(cat "$out")"
  [[ $(wc -l <"$err") -le 2 && -s $err ]] || fail "'eidetic ${*:2}' said: $(cat "$err")"
}

tells() { grep -Eq -- "$1" "$out" || fail "no '$1' in: $(cat "$out")"; }

# Every line is one JSON value; gives the value of `expression`, where `lines` is the list of them.
json() {
  /usr/bin/python3 -m json.tool --json-lines "$out" >/dev/null || fail "no JSON: $(cat "$out")"
  /usr/bin/python3 -c 'import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
print(eval(sys.argv[2]))' "$out" "$1"
}
is() { [[ $1 == "$2" ]] || fail "'$1' is not '$2'"; }

start_server --max_pages=4096 --max_state_slots=64
for i in {1..40}; do
  echo "Line $i of the book: the ferry leaves at dawn and the harbour is quiet."
done >"$TEST_TMPDIR/book.txt"

says models
tells 'models/demo +bamba'
says models --json
is "$(json 'lines[0]["models"][0]["name"]')" models/demo

says ingest "$TEST_TMPDIR/book.txt" --session book
tells '^tenants/default/sessions/book tokens=[0-9]+$'
tokens=$(sed 's/.*=//' "$out")
run 0 ingest "$TEST_TMPDIR/book.txt" --session other --json --progress --part-bytes 1000
is "$(json 'lines[0]["computed_position"] == lines[0]["position"]')" True
[[ -s $err ]] || fail "--progress told nothing"
says sessions rm other

says sessions ls
tells 'tenants/default/sessions/book'
says sessions ls --json
is "$(json '[s["position"] for s in lines[0]["sessions"]]')" "['$tokens']"
says sessions ls --tenant nobody --json
is "$(json 'lines[0]["sessions"]')" '[]'
says sessions fork book --id copy --json
is "$(json 'lines[0]["position"]')" "$tokens"

greedy=(--max-tokens 6 --temperature 0)
says generate " The ferry" --session book "${greedy[@]}"
cp "$out" "$TEST_TMPDIR/of_parent"
says generate " The ferry" --session copy "${greedy[@]}"
cmp "$out" "$TEST_TMPDIR/of_parent" || fail "the fork answers another thing"
says sessions rm copy

# Back to points of the past, and elsewhere.
says sessions ls
tells 'book .* device .* same .* [0-9]{4}-[0-9]{2}-[0-9]{2}T'
says sessions snapshot book start --json
is "$(json 'lines[0]["snapshots"][0]["name"]')" tenants/default/sessions/book/snapshots/start
here=$(json 'lines[0]["snapshots"][0]["position"]')
says sessions export book "$TEST_TMPDIR/book.session"
says generate " Again" --session book "${greedy[@]}"
cp "$out" "$TEST_TMPDIR/again"
refuses 4 sessions rewind book 1 --expect 2
refuses 4 sessions rewind book 99999999
says sessions rewind book 5 --json
is "$(json 'lines[0]["position"]')" 5
says sessions restore book start --json
is "$(json 'lines[0]["position"]')" "$here"
says generate " Again" --session book "${greedy[@]}"
cmp "$out" "$TEST_TMPDIR/again" || fail "restored, it answers another thing"
says sessions snapshots book
tells '^tenants/default/sessions/book/snapshots/start '
says sessions snapshot book start --delete
refuses 3 sessions restore book start
says sessions import "$TEST_TMPDIR/book.session" --id other --json
is "$(json 'lines[0]["position"], lines[0]["tier"]')" "('$here', 'SESSION_TIER_DISK')"
says sessions warm other --json
is "$(json 'lines[0]["computed_position"]')" "$here"
says generate " Again" --session other "${greedy[@]}"
cmp "$out" "$TEST_TMPDIR/again" || fail "imported, it answers another thing"
refuses 4 sessions import "$TEST_TMPDIR/book.session" --id other
head -c 1000 "$TEST_TMPDIR/book.session" >"$TEST_TMPDIR/cut.session"
refuses 4 sessions import "$TEST_TMPDIR/cut.session"
refuses 4 sessions import "$TEST_TMPDIR/book.txt"
refuses 3 sessions import /no/such/file
refuses 3 sessions export nobody "$TEST_TMPDIR/none.session"
[[ ! -e $TEST_TMPDIR/none.session && ! -e $TEST_TMPDIR/none.session.part ]] || fail "a file is left"
says sessions rm other
says generate "Once upon a time" "${greedy[@]}"
cp "$out" "$TEST_TMPDIR/first"
says generate - "${greedy[@]}" < <(printf 'Once upon a time')
cmp "$out" "$TEST_TMPDIR/first" || fail "the same greedy request, another answer"
says generate "Once upon a time" "${greedy[@]}" --json
is "$(json 'lines[0]["start"]["prompt_tokens"] > 0 and "finish" in lines[-1]')" True
is "$(json '"".join(l.get("delta", l.get("finish", {})).get("text", "") for l in lines)')" \
  "$(cat "$TEST_TMPDIR/first")"

says score "$TEST_TMPDIR/book.txt"
tells '^tokens=[0-9]+ logprob=-[0-9.]+ perplexity=[0-9.]+$'
says score "$TEST_TMPDIR/book.txt" --session book --json
is "$(json 'lines[0]["scored_tokens"] == len(lines[0]["entries"])')" True
says memory search book "the harbour" --limit 2
tells '^mass +tokens +passage'
says memory search book "the harbour" --json
is "$(json 'sorted(lines[0])')" "['blocks', 'passages']"

run 0 --help
tells 'Exit codes'
run 2 no-such-command
[[ ! -s $out ]] || fail "a usage error on standard output"
refuses 3 sessions get nobody
refuses 3 ingest /no/such/file
refuses 4 sessions get 'tenants/Bad/sessions/x'
refuses 4 sessions fork book --id book
run 4 generate x --max-tokens 0
grep -q max_tokens "$err" || fail "the field is not named: $(cat "$err")"
run 4 score - < <(printf '\xff')

# An interrupted answer says so, and gives its session back.
EIDETIC_SERVER=$ADDRESS clients/cli/eidetic generate x --session book --max-tokens 60000 --json \
  >"$out" 2>"$err" &
cli=$!
for _ in {1..600}; do
  grep -q '"delta"' "$out" && break
  sleep 0.1
done
kill -INT "$cli"
status=0
wait "$cli" || status=$?
is "$status" 130
is "$(cat "$err")" "eidetic: interrupted"
for _ in {1..100}; do
  says sessions get book --json
  [[ $(json 'lines[0]["busy"]') == True ]] || break
  sleep 0.1
done
says sessions rm book
says sessions ls --json
is "$(json 'lines[0]["sessions"]')" '[]'
stop_server
refuses 1 models
