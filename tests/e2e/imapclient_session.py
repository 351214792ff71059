"""A session of the imapclient library: log in by one of its ways, read mail, IDLE, log out.

Arguments: port, mode (tls, starttls or clear), CA file, user, password, way (login, plain; xoauth2 or oauthbearer, with a token for the password; external, with CERT:KEY)."""
import ssl
import sys

from imapclient import IMAPClient

port, mode, ca, user, password, way = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if way == "external":
    context.load_cert_chain(*password.split(":"))
client = IMAPClient("localhost", int(port), ssl=mode == "tls", ssl_context=context if mode == "tls" else None)
if mode == "starttls":
    client.starttls(context)
if way == "plain":
    client.plain_login(user, password)
elif way == "xoauth2":
    client.oauth2_login(user, password)
elif way == "oauthbearer":
    client.oauthbearer_login(user, password)
elif way == "external":
    client.sasl_login("EXTERNAL", lambda challenge: user.encode())
else:
    client.login(user, password)
status = client.select_folder("INBOX", readonly=True)
assert status[b"EXISTS"] == 5, status
bodies = client.fetch(client.search("ALL"), ["BODY.PEEK[]", "FLAGS"])
assert len(bodies) == 5, bodies.keys()
assert all(b"Subject:" in message[b"BODY[]"] for message in bodies.values())
assert len(client.search("ALL")) == 5
client.idle()
client.idle_check(timeout=1)
client.idle_done()
client.logout()
print("read", len(bodies))
