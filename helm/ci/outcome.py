"""What a cluster would be given for certain values: pairs of settings whose meeting no schema and no golden file shows."""

import yaml

from tools import HELMS, find, need, template

STORE = {"backends": {"store": "imap://10.0.0.5"}, "users": {"*": "store"}}


def rendered(values, config=None):
    """The documents, once from each helm."""
    for helm in HELMS.values():
        yield template(helm, {"config": {**STORE, **(config or {})}, **values})


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
            for docs in rendered({"tls": own}, {"tls": given}):
                got, seen = proxy_yaml(docs)["tls"], mounted(docs)
                seen.pop("/etc/gatepost/admin")
                need(got == want, f"{own} and {given}: {got}, not {want}")
                need(seen == places, f"{own} and {given}: mounted are {seen}, not {places}")
                made = bool(find(docs, "Secret", "mail-gatepost-self-signed"))
                need(made == (not own), f"{own} and {given}: a certificate of the chart's own: {made}")


CHECKS = {"a setting of TLS beside the chart's certificates": tls}
