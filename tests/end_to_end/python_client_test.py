"""The contract through Python's own gRPC against the real server.

Usage: python_client_test.py ADDRESS METRICS_ADDRESS, with the stubs in PYTHONPATH.
"""

import math
import sys
import threading
import time
import unittest
import urllib.request

import grpc
from eidetic.v1 import content_pb2 as content
from eidetic.v1 import generation_service_pb2 as generation
from eidetic.v1 import generation_service_pb2_grpc as generation_grpc
from eidetic.v1 import model_service_pb2 as model
from eidetic.v1 import model_service_pb2_grpc as model_grpc
from eidetic.v1 import operation_service_pb2 as operation
from eidetic.v1 import operation_service_pb2_grpc as operation_grpc
from eidetic.v1 import session_service_pb2 as session
from eidetic.v1 import session_service_pb2_grpc as session_grpc
from google.rpc import error_details_pb2

ADDRESS, METRICS_ADDRESS = sys.argv[1:3]
TENANT = "tenants/python"
PATIENCE = 60  # seconds; a broken test ends
TEXT = "The old clock in the hall had stopped, and nobody in the house could say since when."


def held():
    """What the metrics page says is in use, by metric."""
    names = ("eidetic_pages_used", "eidetic_state_slots_used", "eidetic_sessions ",
             "eidetic_sessions_asleep", "eidetic_requests_running", "eidetic_requests_queued")
    with urllib.request.urlopen(f"http://{METRICS_ADDRESS}/metrics", timeout=PATIENCE) as page:
        lines = page.read().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if line.startswith(names)]
    assert len(pairs) == len(names) + 2, pairs  # pages: KV on device and host, and index
    return {name: float(value) for name, value in pairs}


def details(error, kind):
    """The google.rpc details of this kind that travel with a failed call."""
    trailers = dict(error.trailing_metadata())
    # google.rpc.Status is {1: code, 2: message, 3: repeated Any}; ours has the same form.
    status = error_details_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    found = []
    for any_detail in status.details:
        message = kind()
        if any_detail.Unpack(message):
            found.append(message)
    return found


class ClientTest(unittest.TestCase):

    def setUp(self):
        self.channel = grpc.insecure_channel(ADDRESS)
        self.addCleanup(self.channel.close)
        self.sessions = session_grpc.SessionServiceStub(self.channel)
        self.generation = generation_grpc.GenerationServiceStub(self.channel)
        self.models = model_grpc.ModelServiceStub(self.channel)
        self.operations = operation_grpc.OperationServiceStub(self.channel)

    def create(self, **fields):
        request = session.CreateSessionRequest(parent=TENANT, **fields)
        return self.sessions.CreateSession(request, timeout=PATIENCE).name

    def delete(self, name):
        self.sessions.DeleteSession(session.DeleteSessionRequest(name=name), timeout=PATIENCE)

    def get(self, name):
        return self.sessions.GetSession(session.GetSessionRequest(name=name), timeout=PATIENCE)

    def append(self, name, *texts):
        requests = [
            session.AppendSessionRequest(name=name if i == 0 else "",
                                         content=content.Content(text=text))
            for i, text in enumerate(texts)
        ]
        return list(self.sessions.AppendSession(iter(requests), timeout=PATIENCE))[-1]

    def stream(self, name, prompt="", max_tokens=8, temperature=0.0, seed=0,
               **fields):
        request = generation.GenerateRequest(session=name, max_tokens=max_tokens,
                                             ignore_end_tokens=True, **fields)
        request.sampling.temperature = temperature
        if seed:
            request.sampling.seed = seed
        if prompt:
            request.prompt.text = prompt
        return self.generation.Generate(request, timeout=PATIENCE)

    def wait_until_free(self, name):
        end = time.monotonic() + PATIENCE
        while self.get(name).busy:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def assert_refused(self, code, call, *args, **kwargs):
        with self.assertRaises(grpc.RpcError) as raised:
            result = call(*args, **kwargs)
            if hasattr(result, "__next__"):
                list(result)
        self.assertEqual(raised.exception.code(), code)
        return raised.exception

    def test_models_and_health(self):
        models = self.models.ListModels(model.ListModelsRequest(), timeout=PATIENCE).models
        self.assertEqual([(m.name, m.family, m.vocab_size) for m in models],
                         [("models/demo", "bamba", 6144)])
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        for service in (b"", b"eidetic.v1.SessionService", b"eidetic.v1.GenerationService"):
            request = b"\x0a" + bytes([len(service)]) + service if service else b""
            self.assertEqual(check(request, timeout=PATIENCE), b"\x08\x01")  # status: SERVING

    def test_a_session_from_beginning_to_end(self):
        name = self.create(session_id="whole")
        last = self.append(name, TEXT, " " + TEXT)
        self.assertEqual(last.requests_acknowledged, 2)
        self.assertEqual(last.computed_position, last.position)
        events = list(self.stream(name, " Then", logprobs=2))
        self.assertEqual(events[0].start.position, last.position + events[0].start.prompt_tokens)
        deltas = [event.delta for event in events[1:-1]]
        self.assertEqual([d.sequence_number for d in deltas], list(range(1, 9)))
        for delta in deltas:
            self.assertEqual(len(delta.logprob.top), 2)
            self.assertEqual(delta.logprob.top[0].token, delta.token)  # greedy
        finish = events[-1].finish
        self.assertEqual(finish.finish_reason, generation.FINISH_REASON_MAX_TOKENS)
        self.assertEqual(self.get(name).position, finish.position)
        self.delete(name)
        self.assert_refused(grpc.StatusCode.NOT_FOUND, self.get, name)

    def test_points_of_the_past(self):
        name = self.create()
        self.append(name, TEXT)
        end = self.get(name).position
        point = self.sessions.SnapshotSession(
            session.SnapshotSessionRequest(name=name, snapshot_id="point"), timeout=PATIENCE)
        self.assertEqual(point.position, end)
        rewound = self.sessions.RewindSession(
            session.RewindSessionRequest(name=name, position=3, expected_position=end),
            timeout=PATIENCE)
        self.assertEqual(rewound.position, 3)
        parts = self.sessions.ExportSession(
            session.ExportSessionRequest(name=name, snapshot=point.name), timeout=PATIENCE)
        requests = [session.ImportSessionRequest(parent=TENANT)]
        requests += [session.ImportSessionRequest(data=part.data) for part in parts]
        imported = self.sessions.ImportSession(iter(requests), timeout=PATIENCE)
        self.assertEqual(imported.position, end)
        warming = self.sessions.WarmSession(
            session.WarmSessionRequest(name=imported.name), timeout=PATIENCE)
        while not warming.done:
            warming = self.operations.WaitOperation(
                operation.WaitOperationRequest(name=warming.name), timeout=2 * PATIENCE)
        self.assertFalse(warming.HasField("error"), warming)
        self.assertEqual(self.get(imported.name).computed_position, end)
        for one in (name, imported.name):
            self.sessions.DeleteSession(session.DeleteSessionRequest(name=one), timeout=PATIENCE)

    def test_cancel_and_resume(self):
        name = self.create()
        self.append(name, TEXT)
        fork = self.sessions.ForkSession(session.ForkSessionRequest(name=name), timeout=PATIENCE)
        seeds = []

        def tokens(stream, at_most=None):
            told = []
            for event in stream:
                if event.HasField("start"):
                    seeds.append(event.start.seed)
                if event.HasField("delta"):
                    told.append(event.delta.token)
                if len(told) == at_most:
                    stream.cancel()
                    break
            return told

        fields = dict(prompt=" And", max_tokens=40, temperature=1.0)
        told = tokens(self.stream(name, request_id="r", **fields), at_most=5)
        self.wait_until_free(name)
        told += tokens(self.stream(name, request_id="r", resume_from=5, **fields))
        self.assertEqual(len(told), 40)
        self.assertEqual(seeds[0], seeds[-1])
        # The server drew the seed; with it an uninterrupted run says the same.
        self.assertEqual(tokens(self.stream(fork.name, seed=seeds[0], **fields)), told)
        self.delete(name)
        self.delete(fork.name)

    def test_list_with_pages(self):
        names = sorted(self.create(session_id=f"page-{i}") for i in range(5))
        listed, token = [], ""
        while True:
            page = self.sessions.ListSessions(
                session.ListSessionsRequest(parent=TENANT, page_size=2, page_token=token),
                timeout=PATIENCE)
            self.assertLessEqual(len(page.sessions), 2)
            listed += [s.name for s in page.sessions]
            token = page.next_page_token
            if not token:
                break
        self.assertEqual(listed, names)
        for name in names:
            self.delete(name)

    def test_search_and_score(self):
        attention = session.AttentionSettings(window_tokens=64, span_blocks=4)
        name = self.create(session=session.Session(attention=attention))
        self.append(name, " ".join([TEXT] * 20))
        before = self.get(name)
        found = self.sessions.SearchMemory(
            session.SearchMemoryRequest(name=name, query=content.Content(text="the old clock")),
            timeout=PATIENCE)
        self.assertGreater(len(found.blocks), 0)
        for passage in found.passages:
            self.assertTrue(0 <= passage.begin_position < passage.end_position <= before.position)
            self.assertIn(passage.text.strip()[:10], " ".join([TEXT] * 20))
        score = self.generation.Score(
            generation.ScoreRequest(session=name, content=content.Content(text=" " + TEXT),
                                    top_logprobs=3), timeout=PATIENCE)
        self.assertEqual(len(score.entries), score.scored_tokens)
        self.assertAlmostEqual(math.fsum(e.chosen.logprob for e in score.entries),
                               score.total_logprob, places=3)
        after = self.get(name)
        for state in (before, after):
            state.ClearField("last_use_time")  # reading is use, and changes nothing else
        self.assertEqual(after, before)
        self.delete(name)

    def test_tokenize_round_trip(self):
        for text in (TEXT, "Grüße, 世界 👋🏽\r\n\t<|user|>", "a\x00b"):
            ids = self.generation.Tokenize(
                generation.TokenizeRequest(content=content.Content(text=text)),
                timeout=PATIENCE).ids
            back = self.generation.Detokenize(generation.DetokenizeRequest(ids=ids),
                                              timeout=PATIENCE).text
            self.assertEqual(back, text)

    def test_error_details(self):
        name = self.create()
        error = self.assert_refused(grpc.StatusCode.INVALID_ARGUMENT, self.stream, name, "x",
                                    max_tokens=0)
        bad = details(error, error_details_pb2.BadRequest)
        self.assertEqual([v.field for b in bad for v in b.field_violations], ["max_tokens"])
        info = details(error, error_details_pb2.ErrorInfo)
        self.assertEqual([(i.reason, i.domain) for i in info], [("INVALID_REQUEST", "eidetic")])
        running = self.stream(name, "x", max_tokens=2000)
        next(running)
        error = self.assert_refused(grpc.StatusCode.ABORTED, self.stream, name)
        self.assertEqual(len(details(error, error_details_pb2.RetryInfo)), 1)
        running.cancel()
        self.wait_until_free(name)
        self.delete(name)

    def test_sessions_from_threads(self):
        answers = {}

        def talk(number):
            name = self.create(session_id=f"thread-{number}")
            self.append(name, TEXT)
            answers[number] = [e.delta.token for e in self.stream(name, " So", max_tokens=12)]
            self.delete(name)

        threads = [threading.Thread(target=talk, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(answers), list(range(8)))
        self.assertEqual(len({tuple(a) for a in answers.values()}), 1)

    def tearDown(self):
        end = time.monotonic() + PATIENCE
        while any(held().values()) and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual({k: v for k, v in held().items() if v}, {}, "something is left behind")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
