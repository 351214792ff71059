"""The schema of proxy.yaml, made as strict as `gatepost check` where it is looser: bounds of ports and prefixes, characters of
hosts and domains, texts of one line; durations are left to a template. An editor can do without these; Helm must not install what no pod would take."""

from tools import need


def up_to(most):
    """What matches 1 to this number, and nothing above."""
    digits = str(most)
    ways = [f"[1-9][0-9]{{0,{len(digits) - 2}}}"] if len(digits) > 1 else []
    for at, digit in enumerate(digits):
        low, high = (0 if at else 1), int(digit) - 1
        if low <= high:
            rest = len(digits) - at - 1
            ways.append(f"{digits[:at]}[{low}-{high}]" + (f"[0-9]{{{rest}}}" if rest else ""))
    return f"0*(?:{'|'.join([*ways, digits])})"


PORT = up_to(65535)
OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = rf"(?:{OCTET}\.){{3}}{OCTET}"
IPV6 = r"\[[0-9A-Fa-f:.]+\]"
HOST = "[0-9A-Za-z_][0-9A-Za-z._-]*"
NETWORK = (rf"{IPV4}(?:/0?(?:[0-9]|[12][0-9]|3[0-2]))?"
           "|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:/0{0,2}(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?")
SIZE = f"[0-9]+|0+(?:KiB|MiB|GiB)|{up_to(1 << 20)}KiB|{up_to(1 << 10)}MiB|{up_to(1)}GiB"
LABEL = "[0-9A-Za-z_](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
# As a certificate has it.
SUBJECT = rf"(?:{LABEL}\.)*{LABEL}\.?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*"
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
    ("^[0-9]+(?:KiB|MiB|GiB)?$", f"^(?:{SIZE})$"),
    ("^[0-9]+(?:KiB)?$", f"^(?:[0-9]+|{up_to(32)}KiB)$"),
    ("sha256/[A-Za-z0-9+/]{43}=", "sha256/[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="),
    (r"""[^\s@/:,;."'()\[\]{}][^\s@/:,;"'()\[\]{}]*""", DOMAIN),
]
# A pattern that holds a year is no help to whoever mistyped one: templates/_durations.tpl says it in words.
TIME = "[1-9][0-9]{0,10}ms|[1-9][0-9]{0,7}s|[1-9][0-9]{0,5}m|[1-9][0-9]{0,3}h"
ONE_LINE = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}


def special(value, name):
    """What is said of one key alone."""
    if str(value.get("description")).startswith("the name the certificate must bear"):
        value["pattern"] = value["pattern"].replace(DOMAIN, SUBJECT)
    if name == "http":
        value["minItems"] = 1
    if name == "headers":
        value["additionalProperties"].update(ONE_LINE, maxLength=400)
    if name == "login_as" and "oauth2" not in value["properties"]:
        value["required"] = ["master"]
        value["else"] = {"properties": {"password_file": False}}


def strict(schema):
    """The same, changed in place."""
    left = {narrow for _, narrow in PARTS}

    def walk(value, name):
        if isinstance(value, list):
            for inner in value:
                walk(inner, name)
        if not isinstance(value, dict):
            return
        pattern = value.get("pattern")
        if isinstance(pattern, str) and TIME in pattern:
            del value["pattern"]
        elif isinstance(pattern, str):
            for loose, narrow in PARTS:
                if loose in pattern:
                    left.discard(narrow)
                    pattern = pattern.replace(loose, narrow)
            value["pattern"] = pattern
        if str(value.get("description")).endswith(": text"):
            value.update(ONE_LINE)
            # A password may be longer than what is sent in one line.
            if name not in ("password", "token"):
                value["maxLength"] = 400
        special(value, name)
        for key, inner in value.items():
            walk(inner, key)

    walk(schema, "")
    need(not left, f"no such patterns in the schema of proxy.yaml that would be made these, so strict.py need not: {sorted(left)}")
    return schema
