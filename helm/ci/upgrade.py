"""An upgrade against a cluster that has what the install made: nothing that was random may change.

The cluster is a few answers of an API server on loopback, which `helm template --dry-run=server` asks."""

import copy
import json
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tools import CHART, NAMESPACE, Wrong, need, run

import yaml


def group(name):
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def kinds(version, *names):
    resources = [{"name": f"{name.lower()}s", "singularName": name.lower(), "namespaced": True, "kind": name,
                  "verbs": ["get", "list"]} for name in names]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


class Cluster(BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        answers = {
            "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group("apps"), group("policy")]},
            "/api/v1": kinds("v1", "Secret", "ConfigMap", "Service", "ServiceAccount", "Pod"),
            "/apis/apps/v1": kinds("apps/v1", "Deployment"),
            "/apis/policy/v1": kinds("policy/v1", "PodDisruptionBudget"),
        }
        answer = answers.get(path) or self.server.objects.get(path)
        status = 200 if answer else 404
        body = json.dumps(answer or {"kind": "Status", "apiVersion": "v1", "status": "Failure",
                                     "reason": "NotFound", "code": 404, "message": "not found"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def rendered(helm, kubeconfig, values):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        done = run([helm, "template", "mail", CHART, "-n", NAMESPACE, "-f", file.name, "--dry-run=server",
                    "--disable-openapi-validation"],
                   env={"KUBECONFIG": kubeconfig})
    if done.returncode:
        raise Wrong(done.stderr)
    return {(doc["kind"], doc["metadata"]["name"]): doc for doc in yaml.safe_load_all(done.stdout) if doc}


def check(helm):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
            yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "c",
                            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
                            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                            "users": [{"name": "u", "user": {}}]}, config)
            config.flush()
            server.objects = {}
            first = rendered(helm, config.name, {})
            again = rendered(helm, config.name, {})
            secrets = {key: doc for key, doc in first.items() if key[0] == "Secret"}
            need(len(secrets) == 3, f"expected three Secrets, got {sorted(secrets)}")
            for key, doc in secrets.items():
                need(doc["data"] != again[key]["data"], f"{key}: it is not random")
                need(doc["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", f"{key}: not kept")
                # As an install leaves it.
                doc = copy.deepcopy(doc)
                doc["metadata"]["annotations"] |= {"meta.helm.sh/release-name": "mail",
                                                   "meta.helm.sh/release-namespace": NAMESPACE}
                server.objects[f"/api/v1/namespaces/{NAMESPACE}/secrets/{key[1]}"] = doc
            first = rendered(helm, config.name, {})
            second = rendered(helm, config.name, {"replicas": 5, "config": {"limits": {"per_ip": 10}}})
            changed = sorted(key for key in first if first[key] != second.get(key))
            want = [("ConfigMap", "mail-gatepost"), ("Deployment", "mail-gatepost")]
            need(changed == want, f"an upgrade changed {changed}, expected {want}")
            spec = lambda docs: docs["Deployment", "mail-gatepost"]["spec"]["template"]
            need(spec(first) == spec(second), "new settings restart the pods")
            roll = {"rollOnConfigChange": True}
            first = rendered(helm, config.name, roll)
            rolled = rendered(helm, config.name, {**roll, "config": {"limits": {"per_ip": 10}}})
            need(spec(first) != spec(rolled), "new settings do not roll the pods")
    finally:
        server.shutdown()
