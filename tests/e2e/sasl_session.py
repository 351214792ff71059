"""Logs in by XOAUTH2, OAUTHBEARER and SCRAM through the gateway: PORT CA USER PASSWORD TOKEN.

Ends with a traceback if anything is not as it should be."""
import base64
import hashlib
import hmac
import imaplib
import json
import ssl
import sys

port, (ca, user, password, token) = int(sys.argv[1]), sys.argv[2:]
context = ssl.create_default_context(cafile=ca)


def connect():
    return imaplib.IMAP4_SSL("localhost", port, ssl_context=context)


def authenticate(mechanism, *answers):
    """Answers each challenge by the next answer, a function of it; gives the challenges."""
    challenges = []
    answers = list(answers)

    def answer(challenge):
        challenges.append(challenge)
        return answers.pop(0)(challenge)

    imap = connect()
    try:
        assert imap.authenticate(mechanism, answer)[0] == "OK"
        assert imap.select()[0] == "OK"
        imap.logout()
        return "OK", challenges
    except imaplib.IMAP4.error as error:
        imap.logout()
        return str(error), challenges


def xoauth2(token):
    return lambda _: f"user={user}\x01auth=Bearer {token}\x01\x01".encode()


def oauthbearer(token):
    message = f"n,a={user},\x01host=localhost\x01port={port}\x01auth=Bearer {token}\x01\x01"
    return lambda _: message.encode()


def scram(name, secret, check=True):
    """The three answers of SCRAM; the last one checks that the server knows the password."""
    hashed = {"SCRAM-SHA-1": hashlib.sha1, "SCRAM-SHA-256": hashlib.sha256}[name]
    nonce = "rOprNGfwEbeRWgbNEkqO"
    bare = f"n={user},r={nonce}"
    state = {}

    def sign(key, text):
        return hmac.new(key, text, hashed).digest()

    def first(_):
        return ("n,," + bare).encode()

    def final(challenge):
        fields = dict(field.split("=", 1) for field in challenge.decode().split(","))
        assert fields["r"].startswith(nonce)
        salt = base64.b64decode(fields["s"])
        salted = hashlib.pbkdf2_hmac(hashed().name, secret.encode(), salt, int(fields["i"]))
        key = sign(salted, b"Client Key")
        without = "c=biws,r=" + fields["r"]
        covered = f"{bare},{challenge.decode()},{without}".encode()
        signature = sign(hashed(key).digest(), covered)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        state["server"] = sign(sign(salted, b"Server Key"), covered)
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def checked(challenge):
        assert challenge == b"v=" + base64.b64encode(state["server"]), challenge
        return b""

    return first, final, checked


for mechanism in ["XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-1", "SCRAM-SHA-256"]:
    assert f"AUTH={mechanism}" in connect().capabilities, mechanism

for mechanism, message in [("XOAUTH2", xoauth2), ("OAUTHBEARER", oauthbearer)]:
    said, _ = authenticate(mechanism, message(token))
    assert said == "OK", said
    said, _ = authenticate(mechanism, message("x" * 5000 + token))
    assert said == "OK", said
    for answer in [b"", b"\x01"]:
        said, challenges = authenticate(mechanism, message(token + "-wrong"), lambda _: answer)
        assert "AUTHENTICATIONFAILED" in said, said
        assert "status" in json.loads(challenges[1]), challenges
    # None gives up.
    said, challenges = authenticate(mechanism, message(token + "-wrong"), lambda _: None)
    assert "aborted" in said, said

for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"]:
    said, challenges = authenticate(mechanism, *scram(mechanism, password))
    assert said == "OK" and len(challenges) == 3, said
    said, challenges = authenticate(mechanism, *scram(mechanism, "wrong"))
    assert "AUTHENTICATIONFAILED" in said and len(challenges) == 2, said
    first, *_ = scram(mechanism, password)
    said, challenges = authenticate(mechanism, first, lambda _: None)
    assert "aborted" in said, said
