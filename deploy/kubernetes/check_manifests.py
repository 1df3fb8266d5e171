#!/usr/bin/python3
"""The manifests, field by field, against the server's own flags and pages.

Usage: check_manifests.py FOLDER SERVER. Overlays are rendered where there is a kubectl; without one
the base and the patches are read as they stand.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import yaml

FOLDER, SERVER = pathlib.Path(sys.argv[1]), sys.argv[2]
OVERLAYS = ("cpu", "gpu", "replicas")
LABELS = {"app.kubernetes.io/name": "eidetic"}


def documents(folder):
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for name in kustomization["resources"]:
        if (folder / name).is_file():
            yield from yaml.safe_load_all((folder / name).read_text())


def by_kind(found):
    return {(d["kind"], d["metadata"]["name"]): d for d in found}


def pod_of(stateful_set):
    return stateful_set["spec"]["template"]["spec"]


def container_of(stateful_set):
    (container,) = pod_of(stateful_set)["containers"]
    return container


class BaseTest(unittest.TestCase):

    def setUp(self):
        self.base = by_kind(documents(FOLDER / "base"))
        self.set = self.base["StatefulSet", "eidetic"]
        self.container = container_of(self.set)
        self.args = dict(arg.removeprefix("--").split("=", 1) for arg in self.container["args"])

    def test_flags_are_the_servers(self):
        # absl's help ends with 1.
        usage = subprocess.run([SERVER, "--help"], capture_output=True, text=True, check=False)
        flags = set(re.findall(r"--(\w+) \(", usage.stdout + usage.stderr))
        self.assertGreater(len(flags), 40)
        self.assertEqual(set(self.args) - flags, set())

    def test_ports_are_those_that_are_served(self):
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        self.assertEqual(ports["grpc"], int(self.args["address"].rsplit(":")[-1]))
        self.assertEqual(ports["metrics"], int(self.args["metrics_address"].rsplit(":")[-1]))
        for name in ("eidetic", "eidetic-pods"):
            for port in self.base["Service", name]["spec"]["ports"]:
                self.assertEqual(port["port"], ports[port["targetPort"]])
        self.assertEqual(self.set["spec"]["serviceName"], "eidetic-pods")
        self.assertEqual(self.base["Service", "eidetic-pods"]["spec"]["clusterIP"], "None")

    def test_probes_ask_the_pages_that_know(self):
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"),
                            ("readinessProbe", "/readyz")):
            self.assertEqual(self.container[probe]["httpGet"], {"path": path, "port": "metrics"})
        startup = self.container["startupProbe"]
        self.assertGreaterEqual(startup["periodSeconds"] * startup["failureThreshold"], 300)

    def test_there_is_time_to_drain(self):
        pause = int(self.container["lifecycle"]["preStop"]["exec"]["command"][-1])
        grace = int(self.args["shutdown_grace"].removesuffix("s"))
        self.assertGreater(pod_of(self.set)["terminationGracePeriodSeconds"], pause + grace)
        ready = self.container["readinessProbe"]
        self.assertGreater(pause, ready["periodSeconds"] * ready["failureThreshold"])

    def test_it_runs_as_nobody_who_may_write_only_its_data(self):
        self.assertTrue(pod_of(self.set)["securityContext"]["runAsNonRoot"])
        self.assertFalse(pod_of(self.set)["automountServiceAccountToken"])
        context = self.container["securityContext"]
        self.assertTrue(context["readOnlyRootFilesystem"])
        self.assertFalse(context["allowPrivilegeEscalation"])
        self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
        mounts = {mount["mountPath"]: mount for mount in self.container["volumeMounts"]}
        self.assertEqual(mounts[self.args["data_folder"]]["name"],
                         self.set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"])
        self.assertTrue(mounts[str(pathlib.Path(self.args["api_keys"]).parent)]["readOnly"])

    def test_selectors_pick_the_pods_and_no_others(self):
        spec = self.set["spec"]
        self.assertEqual(spec["template"]["metadata"]["labels"], LABELS)
        self.assertEqual(spec["selector"]["matchLabels"], LABELS)
        self.assertEqual(self.base["Service", "eidetic"]["spec"]["selector"], LABELS)
        self.assertEqual(self.base["Service", "eidetic-pods"]["spec"]["selector"], LABELS)
        for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector"),
                            ("ServiceMonitor", "selector")):
            self.assertEqual(self.base[kind, "eidetic"]["spec"][field], {"matchLabels": LABELS})


class OverlayTest(unittest.TestCase):

    def rendered(self, overlay):
        folder = FOLDER / "overlays" / overlay
        if shutil.which("kubectl") is None:
            return by_kind([*documents(folder),
                            yaml.safe_load((folder / "statefulset.yaml").read_text())])
        text = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True,
                              text=True, check=True).stdout
        found = by_kind(yaml.safe_load_all(text))
        self.assertGreaterEqual(set(found), set(by_kind(documents(FOLDER / "base"))))
        self.assertIn("readinessProbe", container_of(found["StatefulSet", "eidetic"]))
        return found

    def test_memory_is_bounded_everywhere(self):
        for overlay in OVERLAYS:
            resources = container_of(self.rendered(overlay)["StatefulSet", "eidetic"])["resources"]
            self.assertEqual(resources["limits"]["memory"], resources["requests"]["memory"])

    def test_only_gpu_asks_for_one(self):
        for overlay in OVERLAYS:
            stateful_set = self.rendered(overlay)["StatefulSet", "eidetic"]
            limits = container_of(stateful_set)["resources"]["limits"]
            self.assertEqual(limits.get("nvidia.com/gpu"), "1" if overlay == "gpu" else None)

    def test_replicas_scale_on_the_queue(self):
        found = self.rendered("replicas")
        scaled = found["ScaledObject", "eidetic"]["spec"]
        target = scaled["scaleTargetRef"]
        self.assertIn((target["kind"], target["name"]), found)
        self.assertEqual(scaled["minReplicaCount"],
                         found["StatefulSet", "eidetic"]["spec"]["replicas"])
        self.assertIn("eidetic_requests_queued", scaled["triggers"][0]["metadata"]["query"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
