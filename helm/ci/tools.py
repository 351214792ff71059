"""Helm, the gateway and the values: what every check needs."""

import os
import subprocess
import tempfile
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent.parent
CI = CHART / "ci"
TOOLS = Path(os.environ["CHART_TOOLS"])
GATEPOST = os.environ["GATEPOST"]
HELM3, HELM4 = str(TOOLS / "helm-3.17.2"), str(TOOLS / "helm-4.3.1")
HELMS = {"helm 3": HELM3, "helm 4": HELM4}
NAMESPACE = "post"

# libyaml where it is there: the same documents, several times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What a cluster with everything installed serves besides Kubernetes' own.
APIS = [
    "cert-manager.io/v1",
    "monitoring.coreos.com/v1",
    "gateway.networking.k8s.io/v1/TCPRoute",
    "gateway.networking.k8s.io/v1/TLSRoute",
]


class Wrong(Exception):
    """A check that failed."""


def run(args, **more):
    env = {**os.environ, "HELM_CACHE_HOME": str(TOOLS / "cache"), "HELM_CONFIG_HOME": str(TOOLS / "config"),
           "HELM_DATA_HOME": str(TOOLS / "data"), "KUBECONFIG": "/nonexistent",
           # Helm ends after a tenth of a second: its garbage need not be collected so often.
           "GOGC": "400", **more.pop("env", {})}
    return subprocess.run([str(arg) for arg in args], capture_output=True, text=True, env=env, **more)


def template(helm, values, kube="1.37.0", apis=APIS, more=()):
    """Rendered documents, or Wrong with what helm said. `values` is a map or a file."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        if not isinstance(values, Path):
            yaml.safe_dump(values, file, sort_keys=False)
            file.flush()
            values = file.name
        flags = [flag for api in apis for flag in ("--api-versions", api)]
        done = run([helm, "template", "mail", CHART, "-n", NAMESPACE, "-f", values, "--kube-version", kube, *flags, *more])
    if done.returncode:
        raise Wrong(done.stderr.strip())
    return [doc for doc in yaml.load_all(done.stdout, LOADER) if doc]


def lint(helm, values):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file, sort_keys=False)
        file.flush()
        done = run([helm, "lint", "--strict", CHART, "-f", file.name, "-n", NAMESPACE])
    if done.returncode:
        raise Wrong(done.stdout + done.stderr)


def load(file):
    return yaml.load(Path(file).read_text(), LOADER) or {}


def examples():
    return {file.stem: load(file) for file in sorted((CHART / "examples").glob("*.yaml"))}


def pods(docs):
    """Pod specs with their names and labels."""
    for doc in docs:
        if doc["kind"] == "Pod":
            yield doc["metadata"]["name"], doc["metadata"], doc["spec"]
        elif doc["kind"] in ("Deployment", "DaemonSet", "StatefulSet", "Job"):
            inner = doc["spec"]["template"]
            yield doc["metadata"]["name"], inner["metadata"], inner["spec"]


def find(docs, kind, name=None):
    for doc in docs:
        if doc["kind"] == kind and name in (None, doc["metadata"]["name"]):
            return doc
    return None


def need(condition, text):
    if not condition:
        raise Wrong(text)
