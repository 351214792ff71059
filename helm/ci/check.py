"""Holds the chart to its promises: .ci/chart runs this. `--write` writes what is generated anew."""

import difflib
import itertools
import json
import os
import re
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import yaml

import kubelet
import manual
import outcome
import policy
import readme
import schema
import upgrade
from tools import CHART, CI, HELM3, HELM4, HELMS, TOOLS, Wrong, examples, find, lint, load, need, pods, run, template

WRITE = "--write" in sys.argv
KUBES = ["1.25.0", "1.31.0", "1.37.0"]


def same(file, text):
    """A generated file is as it would be generated now."""
    if WRITE:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    now = file.read_text() if file.exists() else ""
    if now != text:
        diff = difflib.unified_diff(now.splitlines(), text.splitlines(), str(file.name), "now", lineterm="", n=1)
        raise Wrong("\n".join(itertools.islice(diff, 40)) + "\nrun .ci/chart --write and read the difference")


def generated():
    same(CHART / "values.schema.json", schema.text())
    same(CHART / "README.md", readme.text())


def used():
    """Every value is used by a template, and no template uses one that is not there."""
    text = "\n".join(file.read_text() for file in (CHART / "templates").rglob("*") if file.is_file())
    tops = set(load(CHART / "values.yaml"))
    named = set(re.findall(r"\.Values\.([A-Za-z]+)", text))
    need(named == tops, f"values and templates differ: {sorted(named ^ tops)}")


def proxy_schema():
    """Files that `gatepost check` accepts are valid for `gatepost schema`; its tests hold it too."""
    whole = json.loads(run([os.environ["GATEPOST"], "schema"]).stdout)
    validator = jsonschema.Draft7Validator(whole)
    jsonschema.Draft7Validator.check_schema(whole)
    accepted = [CHART.parent / "proxy.yaml"]
    for file in sorted((CHART.parent / "tests/config").glob("*.yaml")):
        beside = file.with_suffix(".txt")
        if beside.exists() and "error[" not in beside.read_text():
            accepted.append(file)
    for file in accepted:
        # JSON has no other keys than strings: as Helm reads it.
        value = json.loads(json.dumps(load(file)))
        for error in validator.iter_errors(value):
            raise Wrong(f"{file.name}: {error.json_path}: {error.message}")


def render(name, values):
    docs = None
    for kube in KUBES:
        docs = template(HELM4, values, kube)
        policy.valid(docs, kube)
    older = template(HELM3, values, KUBES[-1])
    need(masked(older) == masked(docs), f"{name}: helm 3 and helm 4 differ")
    bare = template(HELM4, values, "1.37.0", apis=[])
    need({d["kind"] for d in bare} == {d["kind"] for d in docs}, "another cluster, other objects")
    host_ports = values.get("hostPorts", {}).get("enabled", False)
    policy.restricted(docs, host_ports)
    policy.fits(docs)
    drained(docs)
    for helm in HELMS.values():
        lint(helm, values)
    work = find(docs, "Deployment") or find(docs, "DaemonSet")
    code, told = kubelet.check(docs, work)
    need(code == 0 and not told, f"gatepost check says:\n{told}")
    return docs


def drained(docs):
    config = yaml.safe_load(next(d for d in docs if d["kind"] == "ConfigMap" and "proxy.yaml" in d["data"])["data"]["proxy.yaml"])
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    seconds = lambda text: int(re.match("[0-9]+", text)[0]) * units[re.sub("[0-9]", "", text)]
    wait = sum(seconds(config["timeouts"].get(key, "30s")) for key in ("drain_delay", "drain"))
    work = find(docs, "Deployment") or find(docs, "DaemonSet")
    grace = work["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    need(wait < grace <= wait + 10, f"grace {grace} for a drain of {wait}")
    probe = work["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    need(seconds(config["timeouts"]["drain_delay"]) == 1.5 or probe["periodSeconds"] * probe["failureThreshold"] < seconds(
        config["timeouts"]["drain_delay"]), "the listeners close before the pod is known as not ready")


def masked(docs):
    """Without what is random, in an order that does not depend on helm."""
    docs = json.loads(json.dumps(docs))
    for doc in docs:
        if doc["kind"] == "Secret":
            doc["data"] = {key: "random" for key in doc["data"]}
    return sorted(docs, key=lambda d: (d["kind"], d["metadata"]["name"]))


class Readable(yaml.SafeDumper):
    """Texts of several lines as they are."""


Readable.add_representer(str, lambda dumper, text: dumper.represent_scalar(
    "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None))


def notes():
    """What is said after an install."""
    # Helm 3 wants a cluster even for this.
    told = []
    secret = ["--set-json", 'config={"backends": {"a": {"hosts": ["imap://h"], "health": '
              '{"login": {"user": "u", "password": "s3cret"}}}}, "users": {"*": "a"}, "users_from": [{"http": "http://l", '
              '"headers": {"X-Open": "s3cret", "X-File": {"file": "/k"}, "X-Env": "${KEY}"}}]}',
              "--set-json", 'extraEnv=[{"name": "KEY", "value": "v"}]']
    tls = ["--set", "config.tls.min_version=TLSv1.3"]
    token = ["--set", "config.admin.token_file=/x/t"]
    crowd = ["--set", "config.limits.connections=9000"]
    closed = ["--set", "networkPolicy.enabled=true,metrics.podMonitor.enabled=true"]
    fits = ["--set", "config.limits.connections=9000,resources.limits.memory=1Gi"]
    for more in ([], ["-f", CHART / "examples/legacy-server.yaml"], secret, tls, token, crowd, fits, closed,
                 [*closed, "--set-json", 'networkPolicy.scrapers=[{"namespaceSelector": {}}]']):
        done = run([HELM4, "install", "mail", CHART, "-n", "post", "--dry-run=client", *more])
        need(done.returncode == 0, done.stderr)
        told.append(done.stdout.partition("\nNOTES:\n")[2])
    trial, real, open_secret, set_tls, own_token, crowd, fits, closed, scraped = told
    need("networkPolicy.scrapers" in closed and not any("networkPolicy.scrapers" in said for said in (trial, real, scraped)),
         f"the notes of metrics that nobody gets: {closed}")
    need("`config.limits.connections` is 9000" in crowd and "(512Mi)\nis enough for 6592" in crowd and not any(
        "CAN HAVE A POD KILLED" in said for said in (trial, real, fits)), f"the notes of too many connections: {crowd}")
    for words in ("helm -n post test mail", "THIS IS A TRIAL", "NO CLIENT TRUSTS"):
        need(words in trial and words in set_tls, f"the notes do not say {words!r}")
    need("config.backends.a.health.login.password" in open_secret and "s3cret" not in open_secret.split("NOTES")[-1],
         f"the notes do not name the password in the ConfigMap: {open_secret}")
    need("config.users_from[0].headers.X-Open" in open_secret and "X-File" not in open_secret.split("NOTES")[-1]
         and "X-Env" not in open_secret.split("NOTES")[-1], f"the notes name other headers than open ones: {open_secret}")
    need("Secret mail-gatepost-admin" in real and "get secret mail-gatepost-admin" in real, "the notes do not say where the token is")
    need("file /x/t" in own_token and "get secret" not in own_token, f"the notes name a Secret that is not there: {own_token}")
    need(real and "TRIAL" not in real and "NO CLIENT" not in real, f"the notes of no trial: {real}")


def golden(name, docs):
    docs = masked(docs)
    for doc in docs:
        for key, value in list(doc.get("data", {}).items()):
            if key == "gatepost.json":
                doc["data"][key] = "the dashboard"
    text = "---\n".join(yaml.dump(doc, Dumper=Readable, sort_keys=True, width=120) for doc in docs)
    same(CI / "golden" / f"{name}.yaml", text)


def refused(case):
    for version, helm in HELMS.items():
        try:
            template(helm, case["values"])
        except Wrong as wrong:
            said = str(wrong)
            need(any(words in said for words in case["says"]), f"{version} does not name {case['says']}:\n{said}")
        else:
            raise Wrong(f"{version} accepts {case['values']}")
    if "code" in case:
        refused_by_check(case)


# What a file of values cannot show: octets and files that only the pod has, expressions, what is not there yet.
ONLY_THE_POD = {"E001", "E002", "E003", "E006", "E027", "E040", "E041", "E042", "E060", "E070"}


def refused_by_check(case):
    """`gatepost check` refuses the same settings, with this code."""
    config = {"listeners": ["imap://0.0.0.0:1143"], **case["values"]["config"]}
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "proxy.yaml"
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        done = run([os.environ["GATEPOST"], "check", "-c", file])
        need(f"error[{case['code']}]" in done.stderr, f"gatepost check does not say {case['code']}:\n{done.stderr}")


def every_code():
    """For each kind of mistake that `gatepost check` knows there is a case that Helm refuses."""
    source = (CHART.parent / "src/config/problem.rs").read_text()
    codes = set(re.findall(r"^    (E[0-9]{3}) \"", source, re.MULTILINE))
    shown = {case["code"] for case in load(CI / "refused.yaml") if "code" in case}
    need(codes == shown | ONLY_THE_POD, f"no case, or no such code: {sorted(codes ^ (shown | ONLY_THE_POD))}")


def tested():
    """The trial as it is, and a certificate and a user of the operator's."""
    own = {"tls": {"existingSecrets": ["mail-tls"]}}
    for values, want in (({}, 0), (own, 0), ({**own, "test": {"tlsName": "other.example.org"}}, 1)):
        docs = template(HELM4, values)
        need("hook-succeeded" not in str(find(docs, "Pod")), "the log of the test is gone before it can be read")
        code, told = kubelet.helm_test(docs)
        need(code == want, f"gatepost probe ends with {code}, not {want}:\n{told}")


def package():
    with tempfile.TemporaryDirectory() as place:
        done = run([HELM4, "package", CHART, "-d", place])
        need(done.returncode == 0, done.stderr)
        [file] = Path(place).glob("*.tgz")
        names = {name.split("/", 1)[1] for name in tarfile.open(file).getnames()}
        need({"values.schema.json", "README.md", "templates/NOTES.txt", "templates/tests/probe.yaml"} <= names, names)
        extra = [name for name in names if name.startswith(("ci/", "examples/", "Dockerfile"))]
        need(not extra, f"the package holds {extra}")


def monitoring():
    """Rules are loaded, and fire, as Prometheus says; the dashboard's expressions are PromQL, and name metrics there are."""
    promtool = TOOLS / "promtool"
    for args in (["check", "rules", CHART / "rules/gatepost.yaml"], ["test", "rules", CI / "rules_test.yaml"]):
        done = run([promtool, *args])
        need(done.returncode == 0, done.stdout + done.stderr)
    board = json.loads((CHART / "dashboards/gatepost.json").read_text())
    exprs = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    plain = [expr.replace("$__rate_interval", "5m").replace("$namespace", ".*") for expr in exprs]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        rules = [{"record": f"r{n}", "expr": expr} for n, expr in enumerate(plain)]
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        done = run([promtool, "check", "rules", file.name])
        need(done.returncode == 0, done.stdout + done.stderr)
    rules = (CHART / "rules/gatepost.yaml").read_text()
    source = "\n".join(file.read_text() for file in (CHART.parent / "src/observe").rglob("*.rs"))
    for name in set(re.findall(r"(?:gatepost|process)_[a-z0-9_]+", "\n".join([*exprs, rules]))):
        known = re.sub(r"_(bucket|sum|count)$", "", name)
        need(f'"{known}"' in source, f"no metric is named {name}")


def main():
    began = time.monotonic()
    failed = []

    def step(name, work, *args):
        try:
            return work(*args)
        except Wrong as wrong:
            failed.append(name)
            print(f"FAILED {name}: {wrong}\n", flush=True)
        return None

    def rendered(name, values, keep):
        docs = step(name, render, name, values)
        if docs and keep:
            step(f"golden {name}", golden, name, docs)

    # The schema first, which all others read; then one after the other what takes long.
    step("generated files", generated)
    cases = {name: (values, True) for name, values in examples().items()}
    cases.update({name: (values or {}, name == "trial") for name, values in load(CI / "cases.yaml").items()})
    mistakes = load(CI / "refused.yaml")
    steps = [(step, f"upgrade with {version}", upgrade.check, helm) for version, helm in HELMS.items()]
    steps += [(step, "the manual's values", manual.check), (step, "helm test", tested), (step, "notes", notes)]
    steps += [(step, name, work) for name, work in outcome.CHECKS.items()]
    steps += [(rendered, name, values, keep) for name, (values, keep) in cases.items()]
    steps += [(step, "values are used", used), (step, "the schema of proxy.yaml", proxy_schema),
              (step, "rules and dashboard", monitoring), (step, "mistakes of every code", every_code), (step, "package", package)]
    steps += [(step, f"refused {case['values']}", refused, case) for case in mistakes]
    with ThreadPoolExecutor(os.cpu_count() + 1) as pool:
        for done in [pool.submit(*one) for one in steps]:
            done.result()
    print(f"chart: {len(cases)} sets of values with helm 3 and 4 on Kubernetes {', '.join(KUBES)}, "
          f"{len(mistakes)} mistakes refused, {time.monotonic() - began:.0f} s")
    if failed:
        sys.exit(f"chart: failed: {'; '.join(failed)}")


main()
