"""Puts a pod's files where its volumes say and lets `gatepost check` read them: what the pod would read. The test pod
is run against a gateway with those files."""

import base64
import contextlib
import os
import subprocess
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ports import free_ports
from tools import GATEPOST, find, need, run


@cache
def pair():
    """A certificate and its key, for Secrets that the values only name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example.org")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mail.example.org")]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), private


def elsewhere(name):
    """What an operator would have put into a Secret or ConfigMap of this name."""
    certificate, key = pair()
    return {
        "tls.crt": certificate, "tls.key": key, "ca.crt": certificate, "ticket.key": bytes(range(48)),
        "token": b"a token of the operator's", "users.yaml": b"carol@example.org: old\n",
        "url": b"redis://redis:6379/0",
    }


def content(docs, volume):
    """File names and octets of a volume."""
    if "secret" in volume:
        source = volume["secret"]
        there = find(docs, "Secret", source["secretName"])
        data = {key: base64.b64decode(value) for key, value in there["data"].items()} if there else elsewhere(source["secretName"])
    else:
        source = volume["configMap"]
        there = find(docs, "ConfigMap", source["name"])
        data = {key: value.encode() for key, value in there["data"].items()} if there else elsewhere(source["name"])
    if "items" in source:
        for item in source["items"]:
            need(item["key"] in data, f"volume {volume['name']}: no key {item['key']}")
        data = {item["path"]: data[item["key"]] for item in source["items"]}
    return data


def lay(docs, spec, root):
    """A container's files below `root` and its environment, as a kubelet would give them."""
    [container] = spec["containers"][:1]
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    mounts = container.get("volumeMounts", [])
    places = sorted((mount["mountPath"] for mount in mounts), key=len, reverse=True)
    for mount in mounts:
        place = Path(root + mount["mountPath"])
        place.mkdir(parents=True)
        for name, octets in content(docs, volumes[mount["name"]]).items():
            if name == "proxy.yaml":
                text = octets.decode()
                for path in places:
                    text = text.replace(f" {path}/", f" {root}{path}/")
                octets = text.encode()
            (place / name).write_bytes(octets)
            os.chmod(place / name, 0o640)
    env = {}
    for variable in container.get("env", []):
        env[variable["name"]] = variable.get("value") or elsewhere("").get(
            variable["valueFrom"]["secretKeyRef"]["key"], b"a-secret").decode()
    return env


def check(docs, work):
    """`gatepost check` in a directory that looks as the pod would; its errors and warnings."""
    with tempfile.TemporaryDirectory() as root:
        env = lay(docs, work["spec"]["template"]["spec"], root)
        file = root + env.pop("GATEPOST_CONFIG")
        done = run([GATEPOST, "check", "-c", file], env=env)
        return done.returncode, done.stderr.replace(root, "")


def ready(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).status == 200
    except OSError:
        return False


def helm_test(docs):
    """As below; once more where somebody else took one of the ports in between."""
    for _ in range(5):
        with contextlib.suppress(Taken):
            return helm_test_once(docs)
    raise Taken("no port stays free")


class Taken(Exception):
    """The gateway could not have its ports."""


def helm_test_once(docs):
    """What `helm test` would do: the gateway runs with the pod's files, and the test pod's command asks it at the ports
    that the Service leads to. Addresses are loopback's."""
    work, service = find(docs, "Deployment"), find(docs, "Service", "mail-gatepost")
    probe = find(docs, "Pod")["spec"]
    pod = work["spec"]["template"]["spec"]
    inside = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    at = dict(zip(inside.values(), free_ports(len(inside))))
    with tempfile.TemporaryDirectory() as root:
        env = lay(docs, pod, root + "/gateway")
        file = Path(root + "/gateway" + env.pop("GATEPOST_CONFIG"))
        text = file.read_text()
        for number, port in at.items():
            text = text.replace(f"0.0.0.0:{number}", f"127.0.0.1:{port}")
        file.write_text(text)
        with open(root + "/log", "w+") as log:
            gateway = subprocess.Popen([GATEPOST, "run", "-c", file], env={**os.environ, **env}, stdout=log, stderr=log)
            try:
                patience = time.monotonic() + 60
                while not ready(at[inside["admin"]]):
                    if gateway.poll() is not None and "in use" in Path(root + "/log").read_text():
                        raise Taken
                    need(gateway.poll() is None and time.monotonic() < patience, Path(root + "/log").read_text())
                    time.sleep(0.1)
                env = lay(docs, probe, root + "/probe")
                args = []
                for arg in probe["containers"][0]["args"]:
                    for port in service["spec"]["ports"]:
                        there = f"//{service['metadata']['name']}.{service['metadata']['namespace']}.svc:{port['port']}"
                        if arg.endswith(there):
                            arg = arg.replace(there, f"//127.0.0.1:{at[inside[port['targetPort']]]}")
                    args.append(arg.replace("=/etc/", f"={root}/probe/etc/"))
                need(str(args).count("//127.0.0.1:") == len(inside) - 1, f"not every port is asked: {args}")
                done = run([GATEPOST, *args], env=env)
                return done.returncode, done.stdout + done.stderr
            finally:
                gateway.terminate()
                gateway.wait(60)
