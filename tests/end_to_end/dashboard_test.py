"""A real Prometheus scrapes a loaded server, and every panel of the dashboard shows something.

Usage: dashboard_test.py ADDRESS METRICS_ADDRESS PROMETHEUS_ADDRESS LOG, with the stubs in
PYTHONPATH. The server keeps sessions, at most MAX_SESSIONS of them, puts them to sleep after a
second and counts the tenant "acme".
"""

import json
import pathlib
import re
import sys
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import grpc
from eidetic.v1 import content_pb2 as content
from eidetic.v1 import generation_service_pb2 as generation
from eidetic.v1 import generation_service_pb2_grpc as generation_grpc
from eidetic.v1 import session_service_pb2 as session
from eidetic.v1 import session_service_pb2_grpc as session_grpc

ADDRESS, METRICS_ADDRESS, PROMETHEUS, LOG = sys.argv[1:5]
MAX_SESSIONS = 4
PATIENCE = 60
LOAD_SECONDS = 20
TEXT = "The old clock in the hall had stopped, and nobody in the house could say since when. "
TRACE = "0af7651916cd43dd8448eb211c80319c"
DASHBOARD = pathlib.Path("deploy/grafana/eidetic.json")
RULES = [pathlib.Path("deploy/prometheus") / f for f in ("recording_rules.yml", "alerts.yml")]

# What an operator may count on, under these names.
LISTED = """
eidetic_time_to_first_token_seconds eidetic_inter_token_seconds eidetic_queue_seconds
eidetic_engine_step_seconds eidetic_retrieval_seconds eidetic_session_restore_seconds
eidetic_commit_seconds eidetic_rpc_total eidetic_tokens_total eidetic_rejections_total
eidetic_cancellations_total eidetic_pages_moved_to_host_total eidetic_tier_moved_bytes_total
eidetic_sessions_slept_total eidetic_integrity_errors_total eidetic_slow_readers_cut_total
eidetic_retrieval_choices_total eidetic_requests_running eidetic_requests_queued
eidetic_pages_used eidetic_pages_capacity eidetic_state_slots_used eidetic_state_slots_capacity
eidetic_tier_sessions eidetic_storage_free_bytes eidetic_storage_capacity_bytes eidetic_draining
eidetic_build_info eidetic_tenant_generations_total eidetic_tenant_tokens_total
""".split()
# They have no series before their first event, which this load does not bring about.
RARE = {"eidetic_auth_failures_total", "eidetic_identity_file_changes_total"}


def get(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE) as page:
        return page.read().decode()


def ask(expr):
    """The values of an instant query."""
    found = json.loads(get(PROMETHEUS, "/api/v1/query?" + urllib.parse.urlencode({"query": expr})))
    return [float(sample["value"][1]) for sample in found["data"]["result"]]


def families():
    return set(re.findall(r"^# TYPE (\S+)", get(METRICS_ADDRESS, "/metrics"), re.MULTILINE))


def named(text):
    """Metrics that queries name, by family; not what the rules record."""
    names = re.findall(r"\b(?:eidetic|process)_[a-z0-9_]+", text)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def panels():
    return [p for p in json.loads(DASHBOARD.read_text())["panels"] if p["type"] != "row"]


class Load:
    """Answers with and without sessions, one that slept, cancellations, refusals."""

    def __init__(self):
        self.channel = grpc.insecure_channel(ADDRESS)
        self.sessions = session_grpc.SessionServiceStub(self.channel)
        self.generation = generation_grpc.GenerationServiceStub(self.channel)
        self.told = 0  # tokens of acme's answers
        self.lock = threading.Lock()

    def create(self, tenant, name):
        request = session.CreateSessionRequest(parent=f"tenants/{tenant}", session_id=name)
        return self.sessions.CreateSession(request, timeout=PATIENCE).name

    def answer(self, **fields):
        request = generation.GenerateRequest(
            prompt=content.Content(text=TEXT * 20), max_tokens=24, ignore_end_tokens=True, **fields)
        metadata = [("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")]
        told = 0
        for part in self.generation.Generate(request, timeout=PATIENCE, metadata=metadata):
            told += part.HasField("delta")
        return told

    def talk(self, name, pause, end):
        while time.time() < end:
            told = self.answer(session=name)
            with self.lock:
                self.told += told
            time.sleep(pause)

    def disturb(self, end):
        while time.time() < end:
            self.answer(parent="tenants/globex")
            call = self.generation.Generate(generation.GenerateRequest(
                parent="tenants/acme", prompt=content.Content(text=TEXT), max_tokens=5000))
            call.cancel()
            for fails in (lambda: self.create("acme", "one-too-many"),
                          lambda: self.answer(session="tenants/acme/sessions/none")):
                try:
                    fails()
                except grpc.RpcError:
                    pass
            time.sleep(0.5)

    def run(self):
        names = [self.create("acme", f"chat-{i}") for i in range(MAX_SESSIONS)]
        end = time.time() + LOAD_SECONDS
        threads = [threading.Thread(target=self.talk, args=(name, 4 if i == 0 else 0.1, end))
                   for i, name in enumerate(names[:3])]
        threads.append(threading.Thread(target=self.disturb, args=(end,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class DashboardTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.load = Load()
        cls.load.run()

    def test_every_panel_shows_something(self):
        for panel in panels():
            shown = []
            for target in panel["targets"]:
                expr = (target["expr"].replace("$__rate_interval", "30s")
                        .replace("$job", ".*").replace("$instance", ".*"))
                shown += [value for value in ask(expr) if value == value]
            self.assertTrue(shown, f"nothing on the panel '{panel['title']}'")

    def test_what_dashboard_and_rules_name_is_scraped(self):
        text = DASHBOARD.read_text() + "".join(file.read_text() for file in RULES)
        self.assertEqual(named(text) - families() - RARE, set())

    def test_the_listed_metrics_are_scraped_and_shown(self):
        scraped = families()
        self.assertEqual(set(LISTED) - scraped, set())
        shown = set().union(*(named(t["expr"]) for p in panels() for t in p["targets"]))
        self.assertEqual(scraped - shown, set())

    def test_prometheus_agrees_with_the_client(self):
        expr = 'eidetic_tenant_tokens_total{tenant="acme",kind="generated"}'
        time.sleep(2)  # a scrape
        # A cancelled answer may have told some before its client took none.
        self.assertGreaterEqual(ask(expr)[0], self.load.told)
        self.assertLess(ask(expr)[0], self.load.told * 1.5)
        self.assertEqual(ask("sum(eidetic_time_to_first_token_seconds_count{start='disk'}) > bool 0"),
                         [1])

    def test_no_rule_fails_and_no_alert_of_damage_fires(self):
        for group in json.loads(get(PROMETHEUS, "/api/v1/rules"))["data"]["groups"]:
            for rule in group["rules"]:
                self.assertEqual(rule["health"], "ok", rule)
        self.assertEqual(ask('ALERTS{alertname=~"EideticStepsFlat|EideticIntegrityError"}'), [])

    def test_health_pages(self):
        self.assertEqual(get(METRICS_ADDRESS, "/healthz"), "ok\n")
        self.assertEqual(get(METRICS_ADDRESS, "/readyz"), "ok\n")

    def test_the_log_is_json_with_traces_and_without_text(self):
        text = pathlib.Path(LOG).read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        calls = [line["fields"] for line in lines if line.get("event") == "call"]
        self.assertTrue(any(call.get("trace_id") == TRACE and call["code"] == "OK"
                            and call["generated_tokens"] == 24 for call in calls))
        self.assertNotIn("old clock", text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
