#!/usr/bin/python3
"""Each alert, against made-up series: it fires on its trouble, and is silent on what is like it.

Usage: check_alerts.py FOLDER_OF_THE_RULES. Runs promtool.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = 'job="eidetic",instance="a"'


def rpcs(bad, good, minutes, code="UNAVAILABLE"):
    """So many RPCs a minute."""
    return {
        f'eidetic_rpc_total{{{HERE},method="M",code="{code}"}}': f"0+{bad}x{minutes}",
        f'eidetic_rpc_total{{{HERE},method="M",code="OK"}}': f"0+{good}x{minutes}",
    }


def histogram(name, bound, slow, fast, minutes):
    """So many values a minute beyond the bound, and so many within it."""
    return {
        f'{name}_bucket{{{HERE},le="{bound}"}}': f"0+{fast}x{minutes}",
        f"{name}_count{{{HERE}}}": f"0+{fast + slow}x{minutes}",
    }


def first_tokens(slow, fast, minutes):
    return histogram("eidetic_time_to_first_token_seconds", "1", slow, fast, minutes)


def tokens(slow, fast, minutes):
    return histogram("eidetic_inter_token_seconds", "0.1", slow, fast, minutes)


def steps(running, series):
    return {
        f"eidetic_requests_running{{{HERE}}}": f"{running}x30",
        f'eidetic_engine_step_seconds_count{{{HERE},phase="decode"}}': series,
    }


def token_rate(series, running):
    return {
        f'eidetic_tokens_total{{{HERE},kind="generated"}}': series,
        f"eidetic_requests_running{{{HERE}}}": f"{running}x120",
    }


def disk(free):
    return {
        f"eidetic_storage_free_bytes{{{HERE}}}": f"{free}x30",
        f"eidetic_storage_capacity_bytes{{{HERE}}}": "1000x30",
    }


def one(name, series):
    return {f"{name}{{{HERE}}}": series}


# Series of three days have a value each four minutes: less work, and within the five in which a
# value counts as the present one.
COARSE = 4
THREE_DAYS = 3 * 1440
# alert, whether it fires, the minute at which it is looked at, the series
CASES = [
    ("EideticRpcsBurnFast", True, 90, rpcs(2, 98, 90)),
    ("EideticRpcsBurnFast", False, 90, rpcs(1, 99, 90)),
    ("EideticRpcsBurnFast", False, 90, rpcs(50, 50, 90, code="INVALID_ARGUMENT")),
    # It is over: the short window says so.
    (
        "EideticRpcsBurnFast",
        False,
        90,
        {
            f'eidetic_rpc_total{{{HERE},code="INTERNAL"}}': "0+5x70 350x20",
            f'eidetic_rpc_total{{{HERE},code="OK"}}': "0+95x90",
        },
    ),
    ("EideticRpcsBurnMedium", True, 420, rpcs(8, 992, 420)),
    ("EideticRpcsBurnMedium", False, 420, rpcs(5, 995, 420)),
    ("EideticRpcsBurnSlow", True, THREE_DAYS, rpcs(2, 998, THREE_DAYS // COARSE)),
    ("EideticRpcsBurnSlow", False, THREE_DAYS, rpcs(1, 1999, THREE_DAYS // COARSE)),
    ("EideticFirstTokensBurnFast", True, 90, first_tokens(20, 80, 90)),
    ("EideticFirstTokensBurnFast", False, 90, first_tokens(10, 90, 90)),
    ("EideticFirstTokensBurnMedium", True, 420, first_tokens(8, 92, 420)),
    ("EideticFirstTokensBurnMedium", False, 420, first_tokens(5, 95, 420)),
    ("EideticFirstTokensBurnSlow", True, THREE_DAYS, first_tokens(2, 98, THREE_DAYS // COARSE)),
    ("EideticFirstTokensBurnSlow", False, THREE_DAYS, first_tokens(1, 199, THREE_DAYS // COARSE)),
    ("EideticTokensBurnFast", True, 90, tokens(20, 80, 90)),
    ("EideticTokensBurnFast", False, 90, tokens(10, 90, 90)),
    ("EideticTokensBurnMedium", True, 420, tokens(8, 92, 420)),
    ("EideticTokensBurnMedium", False, 420, tokens(5, 95, 420)),
    ("EideticTokensBurnSlow", True, THREE_DAYS, tokens(2, 98, THREE_DAYS // COARSE)),
    ("EideticTokensBurnSlow", False, THREE_DAYS, tokens(1, 199, THREE_DAYS // COARSE)),
    ("EideticStepsFlat", True, 10, steps(3, "0+100x5 500x25")),
    ("EideticStepsFlat", False, 10, steps(3, "0+100x30")),
    ("EideticStepsFlat", False, 10, steps(0, "0+100x5 500x25")),
    ("EideticIntegrityError", True, 10, one("eidetic_integrity_errors_total", "0x5 1x25")),
    ("EideticIntegrityError", False, 10, one("eidetic_integrity_errors_total", "1x30")),
    ("EideticDiskNearlyFull", True, 10, disk(149)),
    ("EideticDiskNearlyFull", False, 10, disk(151)),
    ("EideticTokenRateCollapsed", True, 90, token_rate("0+1000x75 75000+100x45", 2)),
    ("EideticTokenRateCollapsed", False, 90, token_rate("0+1000x75 75000+300x45", 2)),
    ("EideticTokenRateCollapsed", False, 90, token_rate("0+1000x75 75000x45", 0)),
    ("EideticDown", True, 10, one("up", "1x5 0x25")),
    ("EideticDown", False, 10, one("up", "1x30")),
]


def test_group(alert, fires, minute, series):
    expr = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    return {
        "name": f"{alert} {'fires' if fires else 'is silent'}",
        "interval": f"{COARSE if minute == THREE_DAYS else 1}m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


def run(rules, interval, cases):
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        tests = [test_group(*case) for case in cases]
        # JSON is YAML.
        json.dump({"rule_files": rules, "evaluation_interval": interval, "tests": tests}, file)
        file.flush()
        subprocess.run(["promtool", "test", "rules", file.name], check=True)


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    rules = [str(folder / "recording_rules.yml"), str(folder / "alerts.yml")]
    subprocess.run(["promtool", "check", "rules", *rules], check=True)
    alerts = set(re.findall(r"alert: (\w+)", (folder / "alerts.yml").read_text()))
    for fires in (True, False):
        tested = {case[0] for case in CASES if case[1] == fires}
        assert tested == alerts, f"without a case that fires={fires}: {alerts ^ tested}"
    run(rules, "1m", [case for case in CASES if case[2] != THREE_DAYS])
    run(rules, f"{COARSE}m", [case for case in CASES if case[2] == THREE_DAYS])


if __name__ == "__main__":
    main()
