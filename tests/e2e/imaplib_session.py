"""A session of imaplib: PORT MODE CA USER PASSWORD, mode tls, starttls or clear.

Ends with a traceback if anything is not as it should be."""
import imaplib
import ssl
import sys

port, mode, ca, user, password = int(sys.argv[1]), *sys.argv[2:]
context = ssl.create_default_context(cafile=ca)


def connect():
    if mode == "tls":
        return imaplib.IMAP4_SSL("localhost", port, ssl_context=context)
    imap = imaplib.IMAP4("localhost", port)
    if mode == "starttls":
        imap.starttls(context)
    return imap


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


# imaplib's own login() sends the password as a quoted string, in ASCII or nothing.
imap = connect()
try:
    imap.login(user, "wrong")
    raise SystemExit("logged in with a wrong password")
except imaplib.IMAP4.error as error:
    assert "AUTHENTICATIONFAILED" in str(error), error
ok(imap.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode()))
assert imap.logout()[0] == "BYE"

imap = connect()
ok(imap.authenticate("LOGIN", lambda prompt: (user if b"ser" in prompt else password).encode()))
message = b"From: a@example.org\r\nSubject: by imaplib\r\n\r\n" + b"x" * 100_000 + b"\r\n"
exists = int(ok(imap.select())[0])
ok(imap.append("INBOX", r"(\Flagged)", None, message))
assert int(ok(imap.select())[0]) == exists + 1
(number,) = ok(imap.search(None, "FLAGGED"))[0].split()
((head, got), _) = ok(imap.fetch(number, "(FLAGS BODY[])"))
assert got == message, head
ok(imap.create("from-python"))
ok(imap.copy(number, "from-python"))
assert ok(imap.select("from-python")) == [b"1"]
ok(imap.store("1", "+FLAGS", r"(\Deleted)"))
ok(imap.expunge())
assert ok(imap.search(None, "ALL")) == [b""]
ok(imap.close())
ok(imap.delete("from-python"))
ok(imap.select())
ok(imap.store(number, "+FLAGS", r"(\Deleted)"))
ok(imap.expunge())
assert imap.logout()[0] == "BYE"
