"""Streams opened and reset in a flood, through the front proxy: the server's memory stays.

Usage: front_proxy_test.py PROXY_ADDRESS METRICS_ADDRESS, with the stubs in PYTHONPATH.
"""

import re
import socket
import struct
import sys
import threading
import time
import unittest
import urllib.request

import grpc
from eidetic.v1 import model_service_pb2 as model
from eidetic.v1 import model_service_pb2_grpc as model_grpc

PROXY, METRICS_ADDRESS = sys.argv[1:3]
CONNECTIONS = 8
SECONDS = 5
MIB = 1 << 20
MOST_GROWTH = 64 * MIB


def scrape(name):
    with urllib.request.urlopen(f"http://{METRICS_ADDRESS}/metrics", timeout=10) as page:
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page.read().decode(), re.MULTILINE)
    return sum(map(float, found))


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(index, value, name=b""):
    """An HPACK field that is not indexed; `index` names it, or `name` does."""
    first = bytes([index]) if index < 15 else bytes([15, index - 15])
    named = bytes([len(name)]) + name if name else b""
    return (b"\0" if name else first) + named + bytes([len(value)]) + value


REQUEST = (b"\x83\x86"  # :method POST, :scheme http
           + literal(4, b"/eidetic.v1.GenerationService/Generate") + literal(1, b"x")
           + literal(31, b"application/grpc") + literal(0, b"trailers", name=b"te"))


class Flood:

    def __init__(self):
        self.streams = 0

    def run(self, end):
        while time.time() < end:
            try:
                self.connection(end)
            except OSError:
                pass  # thrown out: comes again

    def connection(self, end):
        host, port = PROXY.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
            reader = threading.Thread(target=self.drain, args=(connection,), daemon=True)
            reader.start()
            for stream in range(1, 1 << 30, 2):
                if time.time() > end:
                    return
                connection.sendall(frame(1, 4, stream, REQUEST) + frame(3, 0, stream, b"\0\0\0\x08"))
                self.streams += 1

    @staticmethod
    def drain(connection):
        try:
            while connection.recv(1 << 16):
                pass
        except OSError:
            pass


class FrontProxyTest(unittest.TestCase):

    def models(self):
        with grpc.insecure_channel(PROXY) as channel:
            stub = model_grpc.ModelServiceStub(channel)
            return stub.ListModels(model.ListModelsRequest(), timeout=20).models

    def test_open_and_reset_moves_no_memory(self):
        self.assertEqual(len(self.models()), 1)
        before = scrape("process_resident_memory_bytes")
        floods = [Flood() for _ in range(CONNECTIONS)]
        end = time.time() + SECONDS
        threads = [threading.Thread(target=flood.run, args=(end,)) for flood in floods]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sent = sum(flood.streams for flood in floods)
        growth = scrape("process_resident_memory_bytes") - before
        reached = scrape("eidetic_rpc_total")
        print(f"bench front_proxy streams_sent={sent} rpcs_reached={reached:.0f} "
              f"memory_growth_mib={growth / MIB:.1f}", flush=True)
        self.assertGreater(sent, 10_000)
        self.assertLess(growth, MOST_GROWTH)
        # Who has calmed down is served again.
        time.sleep(3)
        self.assertEqual(len(self.models()), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
