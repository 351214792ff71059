"""What a cluster would be given for certain values: pairs of settings whose meeting no schema and no golden file shows."""

import json

import yaml

from tools import GATEPOST, HELM4, Wrong, find, need, run, template

STORE = {"backends": {"store": "imap://10.0.0.5"}, "users": {"*": "store"}}


# A place for files, and one gateway that may have them.
FILES = {"replicas": 1, "extraVolumes": [{"name": "redis", "emptyDir": {}}],
         "extraVolumeMounts": [{"name": "redis", "mountPath": "/redis/"}]}


def rendered(values, config=None):
    """The documents, by helm 4: that helm 3 gives the same is held for whole sets of values."""
    return template(HELM4, {"config": {**STORE, **(config or {})}, **values})


def proxy_yaml(docs):
    return yaml.safe_load(find(docs, "ConfigMap", "mail-gatepost")["data"]["proxy.yaml"])


def pod(docs):
    return (find(docs, "Deployment") or find(docs, "DaemonSet"))["spec"]["template"]["spec"]


def mounted(docs):
    """The Secrets that the gateway sees, by where it sees them."""
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod(docs)["volumes"] if "secret" in volume}
    mounts = pod(docs)["containers"][0]["volumeMounts"]
    return {mount["mountPath"]: secrets[mount["name"]] for mount in mounts if mount["name"] in secrets}


def tls():
    """A setting of TLS goes with the chart's certificates, whichever these are, and takes none away."""
    at = "/etc/gatepost/tls"
    pair = lambda secret: {"cert": f"{at}/{secret}/tls.crt", "key": f"{at}/{secret}/tls.key"}
    tickets = "/etc/gatepost/tickets"
    issued = {"enabled": True, "dnsNames": ["mail.example.org"], "issuerRef": {"name": "ca"}}
    for own, secrets in (({}, ["mail-gatepost-self-signed"]), ({"existingSecrets": ["a"]}, ["a"]),
                         ({"existingSecrets": ["a", "b"]}, ["a", "b"]), ({"certManager": issued}, ["mail-gatepost-tls"])):
        pairs = [pair(secret) for secret in secrets]
        filled = pairs[0] if len(pairs) == 1 else {"certificates": pairs}
        for given in ({"min_version": "TLSv1.3"}, {"min_version": "TLSv1.3", "certificates": []}, {"ticket_key_file": "/k"}):
            want = {"ticket_key_file": f"{tickets}/ticket.key", **filled,
                    **{key: value for key, value in given.items() if value}}
            places = {f"{at}/{secret}": secret for secret in secrets}
            if "ticket_key_file" not in given:
                places[tickets] = "mail-gatepost-tickets"
            docs = rendered({"tls": own}, {"tls": given})
            got, seen = proxy_yaml(docs)["tls"], mounted(docs)
            seen.pop("/etc/gatepost/admin")
            need(got == want, f"{own} and {given}: {got}, not {want}")
            need(seen == places, f"{own} and {given}: mounted are {seen}, not {places}")
            made = bool(find(docs, "Secret", "mail-gatepost-self-signed"))
            need(made == (not own), f"{own} and {given}: a certificate of the chart's own: {made}")


def redis():
    """What goes out to Redis goes to the port that its URL names."""
    variable = {"extraEnv": [{"name": "R", "value": "redis://r"}]}
    for state, more, port in (
            ("redis://r.ns.svc:6390", {}, 6390), ("rediss://u:p:1@[2001:db8::1]:6391/2?a=b:3", {}, 6391),
            ({"url": "redis://r:6392", "prefix": "p"}, {"redis": {"port": 1}}, 6392), ("redis://r/0", {"redis": {"port": 1}}, 6379),
            ("redis://u:6@r", {}, 6379), ("redis://u:${R}@r:6393/0", variable, 6393),
            ("${R}", variable, 6379), ("redis://r:${R}/0", {**variable, "redis": {"port": 6394}}, 6394),
            (None, {"redis": {"existingSecret": "r", "port": 6395}}, 6395),
            ("memory", {}, None), ({"url": "file:///redis/:6"}, FILES, None), (None, {}, None)):
        docs = rendered({"networkPolicy": {"enabled": True}, **more}, {"state": state} if state else {})
        rules = find(docs, "NetworkPolicy")["spec"]["egress"]
        got = [port["port"] for rule in rules for port in rule["ports"] if "to" not in rule and port["port"] != 53]
        need(got == ([port] if port else []), f"{state}: the network policy opens {got}, not {port}")


def token():
    """A token of one's own: the chart makes none beside it, and scrapers get the Secret that holds it."""
    monitors = {kind: {"enabled": True} for kind in ("podMonitor", "serviceMonitor")}
    own = {"adminToken": {"existingSecret": "mine", "key": "t"}, "metrics": monitors}
    for more in ({}, {"adminToken": {"create": False}}, own):
        docs = rendered(more, {"admin": {"token_file": "/x/t"}})
        there, seen = bool(find(docs, "Secret", "mail-gatepost-admin")), mounted(docs).get("/etc/gatepost/admin")
        need(not there and not seen, f"{more}: a token made: {there}, mounted: {seen}")
        for kind, key in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")) if more is own else ():
            read = find(docs, kind)["spec"][key][0]["authorization"]["credentials"]
            need(read == {"name": "mine", "key": "t"}, f"{kind} reads {read}")
    docs = rendered({"metrics": monitors})
    need(find(docs, "Secret", "mail-gatepost-admin") and mounted(docs)["/etc/gatepost/admin"] == "mail-gatepost-admin",
         "the chart's own token is not there")


def grace():
    """A grace that is given is taken as it is, also where the drain is a variable; without one it is computed."""
    variable = {"extraEnv": [{"name": "D", "value": "50s"}]}
    for seconds, timeouts, want in ((60, {"drain": "${D}"}, 60), (60, {"drain_delay": "${D}", "drain": "${D}"}, 60),
                                    (35, {}, 35), (7, {"drain": "2s"}, 7), (0, {"drain": "10m", "drain_delay": "1500ms"}, 607)):
        docs = rendered({"terminationGracePeriodSeconds": seconds, **variable}, {"timeouts": timeouts})
        got = pod(docs)["terminationGracePeriodSeconds"]
        need(got == want, f"{seconds} with {timeouts}: a grace of {got} s, not {want}")


def low_ports():
    """Whoever runs the gateway, it gets the ports that it is told, and the pod no sysctl that it does not need."""
    ours = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    other, given = {"name": "net.ipv4.tcp_syncookies", "value": "1"}, {**ours[0], "value": "900"}
    low, high = ["imap://[::]:1143", "imaps://0.0.0.0:993"], ["imaps://0.0.0.0:1993"]
    host = {"extraPodSpec": {"hostNetwork": True}}
    for listeners, more, want in (
            (high, {}, None), (low, {}, ours), (["pop3s://0.0.0.0"], {}, ours), (low, {"kind": "DaemonSet"}, ours),
            (low, {"podSecurityContext": {"sysctls": [other]}}, [other, *ours]),
            (low, {"podSecurityContext": {"sysctls": [given]}}, [given]), (low, {"podSecurityContext": {"sysctls": []}}, []),
            (high, host, None), (low, {**host, "podSecurityContext": {"sysctls": []}}, []),
            (low, {**host, "podSecurityContext": {"runAsNonRoot": False, "runAsUser": 0}}, None)):
        got = pod(rendered(more, {"listeners": listeners}))["securityContext"].get("sysctls")
        need(got == want, f"{listeners} and {more}: sysctls {got}, not {want}")
    got = pod(rendered({}, {"admin": {"bind": "0.0.0.0:900"}}))["securityContext"].get("sysctls")
    need(got == ours, f"an admin port below 1024: sysctls {got}")


def files():
    """What the gateway writes is where it may write; a state in a file has one owner at a time."""
    syslog = {"extraVolumeMounts": [{"name": "redis", "mountPath": "/dev/log"}], "extraVolumes": FILES["extraVolumes"]}
    writable = {"securityContext": {"readOnlyRootFilesystem": False}}
    for config, more in (
            ({"log": {"output": "stderr"}}, {}), ({"log": {"output": "/redis/mail.log"}}, FILES),
            ({"log": {"output": "/dev/stdout"}}, {}), ({"log": {"output": "syslog"}}, syslog),
            ({"log": {"output": "/var/log/mail.log"}}, writable),
            ({"log": {"output": "${L}"}}, {"extraEnv": [{"name": "L", "value": "stderr"}]})):
        rendered(more, config)
    own = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    usual = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    for state, more, want in (("file:///redis/a/state", {}, {"type": "Recreate"}), ("memory", {}, usual),
                              ({"url": "file:///redis/state"}, {"updateStrategy": own}, own)):
        got = find(rendered({**FILES, **more}, {"state": state}), "Deployment")["spec"]["strategy"]
        need(got == want, f"{state} and {more}: {got}, not {want}")


def families():
    """What the chart opens is open to every family that the Service has; what the user writes is theirs."""
    own = {"listeners": ["imaps://0.0.0.0:1993"], "admin": {"bind": "0.0.0.0:9100"}}
    for service, where in (({}, "0.0.0.0"), ({"ipFamilyPolicy": "SingleStack"}, "0.0.0.0"), ({"ipFamilies": ["IPv4"]}, "0.0.0.0"),
                           ({"ipFamilyPolicy": "PreferDualStack"}, "[::]"), ({"ipFamilyPolicy": "RequireDualStack"}, "[::]"),
                           ({"ipFamilies": ["IPv6"]}, "[::]")):
        docs = rendered({"service": service})
        got = proxy_yaml(docs)
        ports = [f"{scheme}://{where}:{port}" for scheme, port in (("imap", 1143), ("imaps", 1993), ("pop3", 1110), ("pop3s", 1995))]
        need(got["listeners"] == ports and got["admin"]["bind"] == f"{where}:9090", f"{service}: {got}")
        open_ports = [port["containerPort"] for port in pod(docs)["containers"][0]["ports"]]
        need(open_ports == [1143, 1993, 1110, 1995, 9090], f"{service}: ports {open_ports}")
    got = proxy_yaml(rendered({"service": {"ipFamilyPolicy": "RequireDualStack"}}, own))
    need(got["listeners"] == own["listeners"] and got["admin"]["bind"] == own["admin"]["bind"], f"listeners of the user's: {got}")


def strategy():
    """An update ends also where there are as many replicas as nodes."""
    usual = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    alone = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    ports, hard, own = {"hostPorts": {"enabled": True}}, {"podAntiAffinity": "hard"}, {"nodeAffinity": {}}
    for more, want in (({}, usual), ({"podAntiAffinity": "none"}, usual), (ports, alone), (hard, alone),
                       ({"extraPodSpec": {"hostNetwork": True}}, alone), ({**hard, "affinity": own}, usual),
                       ({**ports, "updateStrategy": {"type": "Recreate"}}, {"type": "Recreate"})):
        got = find(rendered(more), "Deployment")["spec"]["strategy"]
        need(got == want, f"{more}: {got}, not {want}")


def memory():
    """Connections are limited to what the limit of memory is enough for, unless the user says how many."""
    for limit, given, want in (("512Mi", {}, 6592), ("512Mi", {"per_ip": 5}, 6592), ("512Mi", {"connections": 9000}, 9000),
                               (536870912, {}, 6592), ("0.5Gi", {}, 6592), ("1Gi", {}, 14784), ("1G", {}, 13658),
                               ("1350Mi", {}, 20000), ("8Gi", {}, 20000), ("64Mi", {}, 256), ("116Mi", {}, 256),
                               (None, {}, None), ("all of it", {}, None)):
        docs = rendered({"resources": {"limits": {"memory": limit}}}, {"limits": given} if given else {})
        got = proxy_yaml(docs).get("limits", {})
        need(got == {**given, **({"connections": want} if want else {})}, f"{limit} and {given}: {got}, not {want} connections")


def budget():
    """A PodDisruptionBudget is for a Deployment, which has a number of replicas."""
    several, one, every = {"replicas": 2}, {"replicas": 1}, {"kind": "DaemonSet"}
    scaled = {**one, "autoscaling": {"enabled": True}}
    for more, wanted, made in ((several, None, True), (scaled, None, True), (one, None, False), (every, None, False),
                               (several, "auto", True), (several, True, True), (several, False, False),
                               (one, True, True), (every, False, False)):
        docs = rendered({**more, **({} if wanted is None else {"podDisruptionBudget": {"enabled": wanted}})})
        got = bool(find(docs, "PodDisruptionBudget"))
        need(got == made, f"{more}, enabled {wanted}: a PodDisruptionBudget: {got}")


def durations():
    """Every duration and rate that `gatepost schema` knows is refused with its name and an example, all at once."""
    found = {}

    def walk(value, path):
        about = str(value.get("description"))
        for what in ("duration", "rate"):
            if f"a {what}, like" in about:
                found[path] = (what, "0+(?:ms" in value["pattern"])
        for key, inner in value.get("properties", {}).items():
            walk(inner, (*path, key))
        for key, step in (("additionalProperties", "store"), ("items", 0)):
            if isinstance(value.get(key), dict):
                walk(value[key], (*path, step))

    walk(json.loads(run([GATEPOST, "schema"]).stdout), ())
    need(len(found) > 15, f"durations in the schema: {sorted(found)}")
    example = {"duration": "a number and a unit, like `250ms`, `30s`, `5m`, `1h`", "rate": "so many in such a time, like `100/10m`"}
    for text, says in (({"duration": "30sec", "rate": "5/30sec"}, lambda what, zero: example[what]),
                       ({"duration": "", "rate": ""}, lambda what, zero: example[what]),
                       ({"duration": "30", "rate": "5/30"},
                        lambda what, zero: example[what] if what == "rate" else "write `30s` for seconds"),
                       ({"duration": "8785h", "rate": "4294967296/1m"},
                        lambda what, zero: example[what] if what == "rate" else "at most a year"),
                       ({"duration": "00s", "rate": "00/5m"},
                        lambda what, zero: "at least one, like `1/10m`" if what == "rate" else None if zero else "more than no time"),
                       ({"duration": "0031622400s", "rate": "4294967295/8784h"}, lambda what, zero: None)):
        config = {"backends": {"store": {"hosts": ["imap://h"]}}, "users_from": [{"http": "http://l"}]}
        want = {}
        for path, (what, zero) in found.items():
            at, name = config, "config"
            for key in path[:-1]:
                at = at[0] if key == 0 else at.setdefault(key, {})
                name += f"[{key}]" if key == 0 else f".{key}"
            at[path[-1]] = text[what]
            if says(what, zero):
                want[f"{name}.{path[-1]}"] = says(what, zero)
        try:
            rendered({}, config)
            said = ""
        except Wrong as wrong:
            said = str(wrong)
        lines = [line.partition("): ")[2] if "execution error" in line else line for line in said.splitlines()]
        got = dict(line.split(": ", 1) for line in lines if line.startswith("config"))
        wrong = sorted({*want.keys() ^ got.keys(), *(key for key in want.keys() & got.keys() if not got[key].endswith(want[key]))})
        need(not wrong and bool(want) == bool(said), f"{text}: {wrong}:\n{said}")


CHECKS = {"a setting of TLS beside the chart's certificates": tls, "the network policy and Redis": redis,
          "an admin token of one's own": token, "the grace of a pod": grace, "connections and memory": memory,
          "ports below 1024": low_ports, "files that are written": files, "families of addresses": families,
          "updates": strategy, "budgets": budget, "durations": durations}
