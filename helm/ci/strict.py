"""The schema of proxy.yaml, made as strict as `gatepost check` where it is looser: bounds of ports and prefixes, characters of
hosts and domains, texts of one line. An editor can do without these; Helm must not install what no pod would take."""

from tools import need

PORT = "0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = rf"(?:{OCTET}\.){{3}}{OCTET}"
IPV6 = r"\[[0-9A-Fa-f:.]+\]"
HOST = "[0-9A-Za-z_][0-9A-Za-z._-]*"
NETWORK = (rf"{IPV4}(?:/0?(?:[0-9]|[12][0-9]|3[0-2]))?"
           "|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:/0{0,2}(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?")
# Letters and digits of every script, and `-`, `_`; the dot besides, but for the first.
DOMAIN = r"[^\s\x00-,./:-@\[-^`{-\x7f][^\s\x00-,/:-@\[-^`{-\x7f]*"
# A user may be named, with a password that holds anything but what ends an authority.
REDIS = rf"rediss?://(?:[^/?#]*@)?(?:{IPV6}|[^\s/?#@:\[\]\\<>^|]+)(?::(?:{PORT})?)?(?:/[0-9]*)?(?:[?#]\S*)?"

# What a pattern has, and what it gets.
PARTS = [
    (r"[^\s/?#@:\[\]]+)(?::0*[1-9][0-9]{0,4})?/?", rf"{HOST})(?::{PORT})?/?"),
    (r"://(?:[0-9.]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?", rf"://(?:{IPV4}|{IPV6})(?::{PORT})?/?"),
    (r"(?:[0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}", rf"(?:{IPV4}|{IPV6}):{PORT}"),
    (r"[0-9.]+(?:/[0-9]+)?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:/[0-9]+)?", NETWORK),
    (r"https?://\S+", rf"https?://(?:{IPV6}|{HOST})(?::{PORT})?(?:[/?]\S*)?"),
    (r"rediss?://.+", REDIS),
    (r"""[^\s@/:,;."'()\[\]{}][^\s@/:,;"'()\[\]{}]*""", DOMAIN),
]
ONE_LINE = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}


def strict(schema):
    """The same, changed in place."""
    left = {loose for loose, _ in PARTS}

    def walk(value, name):
        if isinstance(value, list):
            for inner in value:
                walk(inner, name)
        if not isinstance(value, dict):
            return
        pattern = value.get("pattern")
        if isinstance(pattern, str):
            for loose, narrow in PARTS:
                if loose in pattern:
                    left.discard(loose)
                    pattern = pattern.replace(loose, narrow)
            value["pattern"] = pattern
        if str(value.get("description")).endswith(": text"):
            value.update(ONE_LINE)
            # A password may be longer than what is sent in one line.
            if name not in ("password", "token"):
                value["maxLength"] = 400
        for key, inner in value.items():
            walk(inner, key)

    walk(schema, "")
    need(not left, f"no such patterns in the schema of proxy.yaml any more, so strict.py need not change them: {sorted(left)}")
    return schema
