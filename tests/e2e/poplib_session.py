"""A session of poplib: PORT MODE CA USER PASSWORD, mode tls, starttls or clear.

Ends with a traceback if anything is not as it should be."""
import poplib
import ssl
import sys

port, mode, ca, user, password = int(sys.argv[1]), *sys.argv[2:]
context = ssl.create_default_context(cafile=ca)
poplib._MAXLINE = 1 << 20   # a guard of the module's own; mail may have longer lines


def connect():
    if mode == "tls":
        return poplib.POP3_SSL("localhost", port, context=context)
    pop3 = poplib.POP3("localhost", port)
    if mode == "starttls":
        pop3.stls(context)
    return pop3


pop3 = connect()
try:
    pop3.user(user)
    pop3.pass_("wrong")
    raise SystemExit("logged in with a wrong password")
except poplib.error_proto as error:
    assert "[AUTH]" in str(error), error
pop3.user(user)
pop3.pass_(password)
count, size = pop3.stat()
listed = [tuple(map(int, line.split())) for line in pop3.list()[1]]
assert len(listed) == count and sum(octets for _, octets in listed) == size
ids = [line.split()[1] for line in pop3.uidl()[1]]
assert len(set(ids)) == count
capabilities = pop3.capa()
assert "TOP" in capabilities and "UIDL" in capabilities, capabilities
# The message of 1.5 MB without line ends is beyond any line poplib takes.
for number, octets in listed:
    if octets > 1_400_000:
        continue
    _, lines, _ = pop3.retr(number)
    _, top, _ = pop3.top(number, 1)
    assert lines[: len(top)] == top, number
pop3.dele(count)
assert pop3.stat()[0] == count - 1
pop3.rset()
assert pop3.stat()[0] == count
pop3.dele(1)
pop3.noop()
pop3.quit()

pop3 = connect()
pop3.user(user)
pop3.pass_(password)
assert [line.split()[1] for line in pop3.uidl()[1]] == ids[1:]
pop3.quit()
