"""Puts a pod's files where its volumes say and lets `gatepost check` read them: what the pod would read."""

import base64
import os
import tempfile
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tools import GATEPOST, find, need, pods, run


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


def check(docs, work):
    """`gatepost check` in a directory that looks as the pod would; its errors and warnings."""
    [(meta, spec)] = [(meta, spec) for name, meta, spec in pods([work])]
    container = spec["containers"][0]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    with tempfile.TemporaryDirectory() as root:
        places = sorted((mount["mountPath"] for mount in container["volumeMounts"]), key=len, reverse=True)
        for mount in container["volumeMounts"]:
            place = Path(root + mount["mountPath"])
            place.mkdir(parents=True)
            for name, octets in content(docs, volumes[mount["name"]]).items():
                if name == "proxy.yaml":
                    text = octets.decode()
                    for path in places:
                        text = text.replace(f" {path}/", f" {root}{path}/")
                    octets = text.encode()
                (place / name).write_bytes(octets)
                os.chmod(place / name, 0o440)
        env = {}
        for variable in container["env"]:
            env[variable["name"]] = variable.get("value") or elsewhere("").get(
                variable["valueFrom"]["secretKeyRef"]["key"], b"a-secret").decode()
        file = root + env.pop("GATEPOST_CONFIG")
        done = run([GATEPOST, "check", "-c", file], env=env)
        return done.returncode, done.stderr.replace(root, "")
