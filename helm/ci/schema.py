"""values.schema.json: the keys and comments of values.yaml, what is said of some of them below, and under
`config` the schema of proxy.yaml as the gateway writes it."""

import json
import re

import yaml

from strict import NETWORK, strict
from tools import CHART, GATEPOST, need, run

STRINGS = {"type": "array", "items": {"type": "string", "minLength": 1}}
MAP_OF_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
OBJECTS = {"type": "array", "items": {"type": "object"}}
OPEN = {"type": "object"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
PORTS = {"type": "object", "additionalProperties": PORT}
NETWORKS = {"type": "array", "items": {"type": "string", "pattern": f"^(?:{NETWORK})$"}}
SECONDS = "^([0-9]+(ms|s|m|h))*$"


def word(*words):
    return {"enum": list(words)}


def when(key, **then):
    """If the key is true, those must be there, and hold something."""
    return {"if": {"properties": {key: {"const": True}}, "required": [key]},
            "then": {"properties": then, "required": sorted(then)}}


SOME = {"minItems": 1}

# By path in values.yaml. What is not here has the type of its default.
SAID = {
    "kind": word("Deployment", "DaemonSet"),
    "replicas": {"minimum": 0},
    "image.digest": {"pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.pullPolicy": word("IfNotPresent", "Always", "Never"),
    "imagePullSecrets": OBJECTS,
    "tls.existingSecrets": STRINGS,
    "tls.certManager": when("enabled", dnsNames=SOME,
                            issuerRef={"properties": {"name": {"minLength": 1}}, "required": ["name"]}),
    "tls.certManager.dnsNames": STRINGS,
    "tls.certManager.duration": {"pattern": SECONDS},
    "tls.certManager.renewBefore": {"pattern": SECONDS},
    "tls.certManager.privateKey": OPEN,
    "tls.selfSigned.dnsNames": {**STRINGS, **SOME},
    "proxyProtocol": when("enabled", networks=SOME),
    "proxyProtocol.networks": NETWORKS,
    "redis.port": PORT,
    "service.type": word("LoadBalancer", "NodePort", "ClusterIP"),
    "service.externalTrafficPolicy": word("Local", "Cluster"),
    "service.ports": PORTS,
    "service.nodePorts": PORTS,
    "service.annotations": MAP_OF_STRINGS,
    "service.labels": MAP_OF_STRINGS,
    "service.loadBalancerSourceRanges": NETWORKS,
    "service.ipFamilyPolicy": word("", "SingleStack", "PreferDualStack", "RequireDualStack"),
    "service.ipFamilies": {"type": "array", "items": word("IPv4", "IPv6")},
    "gatewayApi.tcpRoutes": when("enabled", parentRefs=SOME),
    "gatewayApi.tcpRoutes.parentRefs": OBJECTS,
    "gatewayApi.tlsRoutes": when("enabled", parentRefs=SOME, hostnames=SOME),
    "gatewayApi.tlsRoutes.parentRefs": OBJECTS,
    "gatewayApi.tlsRoutes.hostnames": STRINGS,
    "service.extraSpec": OPEN,
    "minReadySeconds": {"minimum": 0},
    "revisionHistoryLimit": {"minimum": 0},
    "extraPodSpec": OPEN,
    "resources": OPEN,
    "autoscaling.minReplicas": {"minimum": 1},
    "autoscaling.maxReplicas": {"minimum": 1},
    "autoscaling.targetCPUUtilizationPercentage": {"minimum": 0},
    "autoscaling.metrics": OBJECTS,
    "autoscaling.scaleDownStabilizationSeconds": {"minimum": 0, "maximum": 3600},
    "podDisruptionBudget.enabled": word("auto", True, False),
    "podDisruptionBudget.maxUnavailable": {"type": ["integer", "string"], "pattern": "^[0-9]+%$"},
    "topologySpreadConstraints": OBJECTS,
    "podAntiAffinity": word("soft", "hard", "none"),
    "affinity": OPEN,
    "nodeSelector": MAP_OF_STRINGS,
    "tolerations": OBJECTS,
    "updateStrategy": OPEN,
    "terminationGracePeriodSeconds": {"minimum": 0},
    "probes.startup": OPEN,
    "probes.readiness": OPEN,
    "probes.liveness": OPEN,
    "podSecurityContext": OPEN,
    "securityContext": OPEN,
    "serviceAccount.annotations": MAP_OF_STRINGS,
    **{f"networkPolicy.{key}": OBJECTS for key in ("clients", "scrapers", "hosts", "redis", "dns", "extraEgress")},
    **{f"metrics.{kind}.labels": MAP_OF_STRINGS
       for kind in ("podMonitor", "serviceMonitor", "prometheusRule", "dashboard")},
    **{key: OBJECTS for key in ("extraEnv", "extraEnvFrom", "extraVolumes", "extraVolumeMounts", "extraContainers")},
    "extraObjects": {"type": "array", "items": {"type": ["object", "string"]}},
    **{key: MAP_OF_STRINGS for key in ("commonLabels", "annotations", "podAnnotations", "podLabels")},
}


def comments():
    """The `# --` comments of values.yaml by the path of the key below them."""
    out, path, text = {}, [], []
    for line in (CHART / "values.yaml").read_text().splitlines():
        comment = re.match(r"\s*# (-- )?(.*)", line)
        if comment:
            if comment[1]:
                text = [comment[2]]
            elif text:
                text.append(comment[2])
            continue
        key = re.match(r"( *)([A-Za-z_]+):", line)
        if key:
            path = path[: len(key[1]) // 2] + [key[2]]
            if text:
                out[".".join(path)] = " ".join(text)
        text = []
    return out


def proxy_yaml():
    """The schema of proxy.yaml, as it may be written in values: the chart fills in what is left out."""
    done = run([GATEPOST, "schema"])
    need(done.returncode == 0, done.stderr)
    schema = json.loads(done.stdout)
    for key in ("required", "$schema", "title"):
        schema.pop(key, None)
    admin = schema["properties"]["admin"]
    # The chart gives address and token.
    for key in ("if", "then", "else", "required"):
        admin.pop(key, None)
    return strict(schema)


def schema():
    said = dict(SAID)
    proxy = proxy_yaml()
    about = comments()
    used = set()

    def of(value, path):
        if path == "config":
            return proxy
        out = {}
        if path in about:
            out["description"] = about[path]
        special = said.get(path, {})
        used.add(path)
        if "enum" in special or "const" in special:
            return {**out, **special}
        kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
        out["type"] = kinds[type(value)]
        if isinstance(value, dict) and special is not OPEN and special.get("additionalProperties") is None:
            below = lambda key: f"{path}.{key}" if path else key
            out["properties"] = {key: of(inner, below(key)) for key, inner in value.items()}
            out["additionalProperties"] = False
        return {**out, **special}

    whole = of(yaml.safe_load((CHART / "values.yaml").read_text()), "")
    whole["properties"]["global"] = {"type": "object", "description": "Shared by charts; not read here"}
    unknown = set(said) - used
    need(not unknown, f"schema.py speaks of values that are not there: {sorted(unknown)}")
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the Gatepost chart", **whole}


def text():
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
