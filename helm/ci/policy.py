"""What every rendered object must be: valid for Kubernetes, within the restricted profile, fitting together."""

import ipaddress
from functools import cache

import kubernetes_validate
import kubernetes_validate.utils

from tools import Wrong, find, need, pods

# Kinds that Kubernetes itself does not know; `shape` below looks at them.
FOREIGN = {"Certificate", "PodMonitor", "ServiceMonitor", "PrometheusRule", "TCPRoute", "TLSRoute"}
# Each schema is a file of megabytes: read once, not once for every object.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)

# Sysctls that the baseline profile, and with it the restricted one, allowed first; Kubernetes counts them as safe.
SAFE = {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range"}
VOLUMES = {"configMap", "secret", "emptyDir", "projected", "csi", "downwardAPI", "persistentVolumeClaim", "ephemeral"}


def valid(docs, kube):
    version = ".".join(kube.split(".")[:2])
    for doc in docs:
        name = f"{doc['kind']}/{doc['metadata']['name']}"
        if doc["kind"] in FOREIGN:
            shape(doc, name)
            continue
        try:
            # An unknown kind or version is an error here, as it must be.
            kubernetes_validate.validate(doc, version, strict=True)
        except Exception as error:
            raise Wrong(f"{name} is not valid for Kubernetes {version}: {error}") from error


def shape(doc, name):
    """The keys these kinds must have, and no others."""
    spec = doc["spec"]
    known = {
        "Certificate": {"secretName", "issuerRef", "dnsNames", "duration", "renewBefore", "usages", "privateKey"},
        "PodMonitor": {"selector", "podMetricsEndpoints"},
        "ServiceMonitor": {"selector", "endpoints"},
        "PrometheusRule": {"groups"},
        "TCPRoute": {"parentRefs", "rules"},
        "TLSRoute": {"parentRefs", "rules", "hostnames"},
    }[doc["kind"]]
    need(set(spec) <= known, f"{name}: keys that are none: {sorted(set(spec) - known)}")
    if doc["kind"] in ("PodMonitor", "ServiceMonitor"):
        [endpoint] = spec.get("podMetricsEndpoints") or spec["endpoints"]
        need(set(endpoint) == {"interval", "port", "path", "authorization"}, f"{name}: {endpoint}")
        need(set(endpoint["authorization"]["credentials"]) == {"name", "key"}, f"{name}: no token")
    if doc["kind"] == "PrometheusRule":
        there = f'absent(gatepost_build_info{{namespace="{doc["metadata"]["namespace"]}"}})'
        need(there in str(spec), f"{name}: no alert where no gateway of this namespace is there")
    if doc["kind"].endswith("Route"):
        need(doc["apiVersion"].startswith("gateway.networking.k8s.io/v1"), f"{name}: {doc['apiVersion']}")
        need(all(ref.get("name") for ref in spec["parentRefs"]), f"{name}: a parent without a name")


def restricted(docs, host_ports=False):
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and no token."""
    for name, _, spec in pods(docs):
        pod = spec.get("securityContext", {})
        need(spec.get("automountServiceAccountToken") is False, f"{name}: a token is mounted")
        need(not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), f"{name}: shares the host's namespaces")
        need(pod.get("runAsNonRoot") is True and pod.get("runAsUser", 0) > 0, f"{name}: may run as root")
        need(pod.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{name}: no seccomp profile")
        sysctls = {one["name"]: one["value"] for one in pod.get("sysctls", [])}
        need(set(sysctls) <= SAFE, f"{name}: not every sysctl is allowed: {sorted(sysctls)}")
        for volume in spec.get("volumes", []):
            need(set(volume) - {"name"} <= VOLUMES, f"{name}: volume {volume['name']} is not allowed")
        for container in spec.get("initContainers", []) + spec["containers"]:
            at, context = f"{name}/{container['name']}", container.get("securityContext", {})
            need(context.get("allowPrivilegeEscalation") is False, f"{at}: may escalate")
            need(context.get("readOnlyRootFilesystem") is True, f"{at}: may write to its root")
            need(context.get("capabilities") == {"drop": ["ALL"]}, f"{at}: keeps capabilities")
            need(not context.get("privileged"), f"{at}: is privileged")
            need(container["resources"]["limits"]["memory"], f"{at}: no limit of memory")
            need(container["resources"]["requests"]["cpu"], f"{at}: no request of CPU")
            image = container["image"]
            need(":" in image.rsplit("/", 1)[-1] and not image.endswith(":latest"), f"{at}: {image} floats")
            for port in container.get("ports", []):
                first = int(sysctls.get("net.ipv4.ip_unprivileged_port_start", "1024"))
                need(port["containerPort"] >= first, f"{at}: port {port['containerPort']} needs a capability")
                need(host_ports or "hostPort" not in port, f"{at}: a port of the host")
            mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            need(len(set(mounts)) == len(mounts), f"{at}: mounted twice: {mounts}")
            for mount in container.get("volumeMounts", []):
                need("subPath" not in mount, f"{at}: {mount['mountPath']} would never change")
                inside = [m for m in mounts if m.startswith(mount["mountPath"] + "/")]
                need(not inside, f"{at}: {inside} cannot be made in {mount['mountPath']}")
                need(any(v["name"] == mount["name"] for v in spec["volumes"]), f"{at}: no volume {mount['name']}")


def fits(docs):
    """Whether names, labels and ports of the objects meet."""
    seen = set()
    for doc in docs:
        key = (doc["apiVersion"].split("/")[0], doc["kind"], doc["metadata"]["name"])
        need(key not in seen, f"{key} is there twice")
        seen.add(key)
        need(len(doc["metadata"]["name"]) <= 63, f"{key}: the name is too long")
    work = find(docs, "Deployment") or find(docs, "DaemonSet")
    labels = work["spec"]["template"]["metadata"]["labels"]
    spec = work["spec"]["template"]["spec"]
    ports = {port["name"]: port["containerPort"] for port in spec["containers"][0]["ports"]}
    picks = lambda selector: selector.items() <= labels.items()
    need(picks(work["spec"]["selector"]["matchLabels"]), "the workload does not select its own pods")
    others = [meta["labels"] for name, meta, _ in pods(docs) if name != work["metadata"]["name"]]
    for doc in docs:
        kind, name, inner = doc["kind"], doc["metadata"]["name"], doc.get("spec", {})
        selector = {"Service": inner.get("selector"), "PodDisruptionBudget": (inner.get("selector") or {}).get("matchLabels"),
                    "PodMonitor": (inner.get("selector") or {}).get("matchLabels"),
                    "NetworkPolicy": (inner.get("podSelector") or {}).get("matchLabels")}.get(kind)
        if kind in ("Service", "PodDisruptionBudget", "PodMonitor", "NetworkPolicy"):
            need(selector and picks(selector), f"{kind}/{name} does not select the gateway")
            need(not any(selector.items() <= other.items() for other in others), f"{kind}/{name} selects the test pod")
        if kind == "Service":
            for port in inner["ports"]:
                need(port["targetPort"] in ports, f"{name}: no port {port['targetPort']}")
        if kind.endswith("Route"):
            [backend] = inner["rules"][0]["backendRefs"]
            service = find(docs, "Service", backend["name"])
            need(any(port["port"] == backend["port"] for port in service["spec"]["ports"]), f"{name}: no such port")
        if kind == "ServiceMonitor":
            service = find(docs, "Service", f"{name}-admin")
            need(inner["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items(), f"{name} selects nothing")
    policy = find(docs, "NetworkPolicy")
    if policy:
        opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        need(opened == set(ports), f"NetworkPolicy opens {opened}, the pod listens on {set(ports)}")
        for rule in policy["spec"]["egress"]:
            for to in rule.get("to", []):
                if "ipBlock" in to:
                    ipaddress.ip_network(to["ipBlock"]["cidr"])
