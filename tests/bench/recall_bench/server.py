"""A server of its own for one length, and the client that speaks to it.

Thread safety: none. Ownership: both processes end with the `with` block.
"""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.request

START_SECONDS = 180
STOP_SECONDS = 60

COUNTERS = {
    "choices": "eidetic_retrieval_choices_total",
    "proven": 'eidetic_retrieval_choices_total{proven="true"}',
    "candidates": "eidetic_retrieval_candidate_blocks_total",
    "read_bytes": "eidetic_retrieval_read_bytes_total",
}
# Refusals that say that the server does not do this, not that it is in trouble.
REFUSALS = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "UNIMPLEMENTED")


class CallError(RuntimeError):
    def __init__(self, answer):
        super().__init__(f"{answer['code']}: {answer['error']}")
        self.is_refusal = answer["code"] in REFUSALS


def attention_layers(model_folder):
    config = json.loads((pathlib.Path(model_folder) / "config.json").read_text())
    return len(config.get("attn_layer_indices", range(config["num_hidden_layers"])))


def capacity_flags(layers, device, tokens, haystacks, parallel):
    """Flags of a server that holds `haystacks` of `tokens` each, and `parallel` forks of one."""
    # A length is met about, and one haystack has another index while it is asked; a question's fork
    # has its own text, and copies of the blocks that it goes on in.
    blocks = (haystacks + 1) * (tokens * 9 // 8 // 32 + 64) + parallel * 64
    flags = [
        f"--max_pages={layers * blocks}",
        f"--max_sessions={haystacks + 2 * parallel + 8}",
        f"--max_state_slots={2 * haystacks + 3 * parallel + 8}",
        f"--max_sequences={haystacks + 2 * parallel + 8}",
        "--max_state_checkpoints=0",
    ]
    if device == "cpu":
        # A page of the demo model takes 32 KiB in float32 and its index 2.
        flags.append(f"--memory_bytes={layers * blocks * 34816 + (4 << 30)}")
    else:
        flags.append("--max_batch_tokens=8192")
    # Beyond 256k tokens a haystack is read without retrieval: then a chunk shares no choice, and
    # longer ones only make reading quicker. A chunk with window, span and sinks (512 + 256 + 32)
    # fits into the 2,048 positions that the demo model knows.
    if tokens > 1 << 18:
        flags.append("--query_chunk_tokens=1024")
    return flags


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """Runs eidetic-server and recall_client while its `with` block does."""

    def __init__(self, binaries, model, device, flags, log_path):
        self._binaries = binaries
        self._arguments = [f"--model={model}", f"--device={device}", *flags]
        self._log_path = log_path

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        port_file = pathlib.Path(self._folder.name) / "port"
        self._metrics = f"127.0.0.1:{free_port()}"
        with open(self._log_path, "ab") as log:
            self._server = subprocess.Popen(
                [
                    self._binaries.server,
                    "--address=127.0.0.1:0",
                    f"--metrics_address={self._metrics}",
                    f"--port_file={port_file}",
                    *self._arguments,
                ],
                stdout=log,
                stderr=log,
                env=self._binaries.environment(),
            )
        self._client = None
        try:
            self._await(port_file)
            self._client = subprocess.Popen(
                [self._binaries.client, f"127.0.0.1:{port_file.read_text().strip()}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=self._binaries.environment(),
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._client is not None:
            self._client.stdin.close()
            self._client.stdout.close()
            self._end(self._client)
        self._server.terminate()
        self._end(self._server)
        self._folder.cleanup()

    def call(self, **request):
        """The answer to a request of calls.h. CallError: what the server or the client refuses."""
        self._client.stdin.write(json.dumps(request) + "\n")
        self._client.stdin.flush()
        line = self._client.stdout.readline()
        if not line:
            raise RuntimeError(f"recall_client ended; the server's log: {self._log_path}")
        answer = json.loads(line)
        if "error" in answer:
            raise CallError(answer)
        return answer

    def count(self, text):
        return self.call(op="count", text=text)["tokens"]

    def counters(self):
        """COUNTERS; one that the server does not have is 0."""
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=30) as page:
            lines = [line.rpartition(" ") for line in page.read().decode().splitlines()]
        return {
            ours: sum(float(value) for name, _, value in lines if name.startswith(theirs))
            for ours, theirs in COUNTERS.items()
        }

    def _await(self, port_file):
        deadline = time.monotonic() + START_SECONDS
        while not (port_file.exists() and port_file.stat().st_size):
            if self._server.poll() is not None or time.monotonic() > deadline:
                tail = pathlib.Path(self._log_path).read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the server does not start: {tail}")
            time.sleep(0.05)

    @staticmethod
    def _end(process):
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Binaries:
    """Where server and client are: built by Bazel here, or in a bundle of make_device_bundle."""

    def __init__(self, server, client, libraries=None):
        self.server, self.client, self._libraries = str(server), str(client), libraries

    def environment(self):
        if self._libraries is None:
            return None
        # CUDA's own libraries do not travel in a bundle.
        paths = [str(self._libraries), "/usr/local/cuda/lib64", os.environ.get("LD_LIBRARY_PATH")]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(p for p in paths if p)}

    @classmethod
    def of_bundle(cls, folder):
        folder = pathlib.Path(folder).resolve()
        found = cls(
            folder / "bin/eidetic-server", folder / "bin/recall_client", folder / "lib"
        )
        for path in (found.server, found.client):
            if not os.access(path, os.X_OK):
                raise ValueError(f"--prebuilt: there is no {path}; make_device_bundle makes one")
        return found

    @classmethod
    def built(cls, root):
        targets = ["//server:eidetic-server", "//tests/bench/recall_bench:recall_client"]
        subprocess.run(["bazel", "build", *targets], cwd=root, check=True, stdout=2)
        info = subprocess.run(
            ["bazel", "info", "bazel-bin"], cwd=root, check=True, capture_output=True, text=True
        )
        binaries = pathlib.Path(info.stdout.strip())
        return cls(
            binaries / "server/eidetic-server",
            binaries / "tests/bench/recall_bench/recall_client",
        )
