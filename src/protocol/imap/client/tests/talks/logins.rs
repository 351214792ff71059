//! Logins with a password at hosts of all kinds, and how TLS begins in front of them.

use super::{ALICE, Talk};

pub(super) const TALKS: &[Talk] = &[
    Talk {
        name: "one turn: the greeting says enough",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
                C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
                S: <1> OK [CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN STARTTLS] Logged in
                = done \"Logged in\" [IMAP4REV1 IDLE]",
    },
    Talk {
        name: "Dovecot: ID and a command behind in one burst",
        with: ("alice", "hunter2", &["origin", "behind"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN] Dovecot ready.
                C: <1> ID (\"x-originating-ip\" \"192.0.2.7\" \"x-originating-port\" \"4711\" \"x-connected-ip\" \"198.51.100.1\" \"x-connected-port\" \"993\" \"x-session-id\" \"s1\" \"x-proxy-ttl\" \"7\" \"x-client-transport\" \"TLS\")
                C: <2> LOGIN \"alice\" \"hunter2\"
                C: g1 SELECT INBOX
                S: * ID (\"name\" \"Dovecot\")
                S: <1> OK ID completed (0.001 + 0.000 secs).
                S: <2> OK [CAPABILITY IMAP4rev1 UNAUTHENTICATE COMPRESS=DEFLATE ID] Logged in
                S: * 3 EXISTS
                S: g1 OK done
                = done \"Logged in\" [IMAP4REV1 ID] rest=* 3 EXISTS~g1 OK done~ behind",
    },
    Talk {
        name: "Courier: capabilities asked, LOGIN, none after login",
        with: ("alice", "hunter2", &["origin", "behind"]),
        lines: "S: * OK Courier-IMAP ready. Copyright 1998-2021 Double Precision, Inc.
                C: <1> CAPABILITY
                S: * CAPABILITY IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT SORT QUOTA IDLE ACL ACL2=UNION
                S: <1> OK CAPABILITY completed
                C: <2> LOGIN \"alice\" \"hunter2\"
                S: <2> OK LOGIN Ok.
                = done \"LOGIN Ok.\"",
    },
    Talk {
        name: "a host older than ID bursts: one command at a time",
        with: ("alice", "hunter2", &["origin"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 ID] old
                C: <1> ID (\"x-originating-ip\" \"192.0.2.7\" \"x-originating-port\" \"4711\" \"x-connected-ip\" \"198.51.100.1\" \"x-connected-port\" \"993\" \"x-session-id\" \"s1\" \"x-proxy-ttl\" \"7\" \"x-client-transport\" \"TLS\")
                S: * ID NIL
                S: <1> BAD what
                C: <2> LOGIN \"alice\" \"hunter2\"
                S: <2> OK
                = done \"\"",
    },
    Talk {
        name: "UW: greets with capabilities, answers with an untagged list",
        with: ("alice", "hunter2", &["behind"]),
        lines: "S: * OK [CAPABILITY IMAP4REV1 I18NLEVEL=1 LITERAL+ IDLE UIDPLUS NAMESPACE CHILDREN MAILBOX-REFERRALS BINARY UNSELECT ESEARCH WITHIN SCAN SORT THREAD=REFERENCES MULTIAPPEND] mail IMAP4rev1 2007f.404 at Sat, 21 Nov 2026 20:00:00 +0000 (UTC)
                C: <1> LOGIN \"alice\" \"hunter2\"
                C: g1 SELECT INBOX
                S: * CAPABILITY IMAP4REV1 IDLE STARTTLS
                S: <1> OK User alice authenticated
                = done \"User alice authenticated\" [IMAP4REV1 IDLE] behind",
    },
    Talk {
        name: "Exchange: capabilities asked, PLAIN at once",
        with: ALICE,
        lines: "S: * OK The Microsoft Exchange IMAP4 service is ready. [QQBNADYA]
                C: <1> CAPABILITY
                S: * CAPABILITY IMAP4 IMAP4rev1 AUTH=PLAIN AUTH=NTLM SASL-IR UIDPLUS MOVE ID UNSELECT CHILDREN IDLE NAMESPACE LITERAL+
                S: <1> OK CAPABILITY completed.
                C: <2> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
                S: <2> OK AUTHENTICATE completed.
                = done \"AUTHENTICATE completed.\"",
    },
    Talk {
        name: "older than CAPABILITY",
        with: ALICE,
        lines: "S: * OK IMAP2bis Service 7.8(92)
                C: <1> CAPABILITY
                S: <1> BAD Command unrecognized: CAPABILITY
                C: <2> LOGIN \"alice\" \"hunter2\"
                S: <2> OK LOGIN completed
                = done \"LOGIN completed\"",
    },
    Talk {
        name: "Cyrus: drops what is sent behind AUTHENTICATE, and bears it behind LOGIN",
        with: ("alice", "p\u{e4}ss", &["behind"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 LITERAL+ ID ENABLE AUTH=PLAIN AUTH=LOGIN SASL-IR] mail Cyrus IMAP 3.6.1 server ready
                C: <1> LOGIN {5+}
                C: alice {5+}
                C: p\u{e4}ss
                C: g1 SELECT INBOX
                S: <1> OK [CAPABILITY IMAP4rev1 LITERAL+ LOGINDISABLED IDLE] User logged in
                = done \"User logged in\" [IMAP4REV1 LITERAL+ IDLE] behind",
    },
    Talk {
        name: "nothing is sent behind AUTHENTICATE",
        with: ("alice", "p\u{e4}ss", &["behind"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] x
                C: <1> AUTHENTICATE PLAIN AGFsaWNlAHDDpHNz
                S: <1> OK in
                = done \"in\"",
    },
    Talk {
        name: "capabilities in the code of the OK to CAPABILITY",
        with: ALICE,
        lines: "S: * OK hello
                C: <1> CAPABILITY
                S: <1> OK [CAPABILITY IMAP4rev1 AUTH=PLAIN LOGINDISABLED] done
                C: <2> AUTHENTICATE PLAIN
                S: +
                C: AGFsaWNlAGh1bnRlcjI=
                S: <2> OK in
                = done \"in\"",
    },
    Talk {
        name: "quotes, and no SASL",
        with: ("a b", "x\"y\\z", &[]),
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"a b\" \"x\\\"y\\\\z\"
                S: <1> OK in
                = done \"in\"",
    },
    Talk {
        name: "quotes go as literals where those cost nothing",
        with: ("a b", "x\"y", &[]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 LITERAL+ AUTH=PLAIN] x
                C: <1> LOGIN {3+}
                C: a b {3+}
                C: x\"y
                S: <1> OK in
                = done \"in\"",
    },
    Talk {
        name: "not ASCII: LITERAL-",
        with: ("jürgen", "hünter2", &["behind"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 LITERAL-] x
                C: <1> LOGIN {7+}
                C: jürgen {8+}
                C: hünter2
                C: g1 SELECT INBOX
                S: <1> OK in
                = done \"in\" behind",
    },
    Talk {
        name: "not ASCII: AUTHENTICATE in two steps",
        with: ("alice", "p\u{e4}ss", &["behind"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] x
                C: <1> AUTHENTICATE PLAIN
                S: +go on
                C: AGFsaWNlAHDDpHNz
                S: <1> OK in
                = done \"in\"",
    },
    Talk {
        name: "not ASCII: literals that are asked for",
        with: ("alice", "p\u{e4}ss", &["behind"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN {5}
                S: + ready
                S: * 1 EXISTS
                C: alice {5}
                S: +
                C: p\u{e4}ss
                S: <1> OK in
                = done \"in\" untagged=* 1 EXISTS~",
    },
    Talk {
        name: "what matters to the client reaches it, several lines of greeting included",
        with: ALICE,
        lines: "S: * OK [ALERT] disk on fire
                S: * OK second line
                C: <1> CAPABILITY
                S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN
                S: * OK third line
                S: <1> OK done
                C: <2> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
                S: * OK [ALERT] you have \u{7} mail
                S: * CAPABILITY A
                S: * ID NIL
                S: * OK [CAPABILITY B] x
                S: * STATUS INBOX (X {4}
                S: a)
                S: )
                S: * FLAGS (\\Seen)
                S: <2> OK [ALERT] and more
                = done \"and more\" [B] untagged=* OK [ALERT] disk on fire~* OK [ALERT] you have ? mail~* STATUS INBOX (X {4}~a)~)~* FLAGS (\\Seen)~* OK [ALERT] and more~",
    },
    Talk {
        name: "STARTTLS: capabilities asked anew, nothing said in clear stays",
        with: ("alice", "hunter2", &["starttls"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR] clear
                S: * OK [ALERT] not from the host
                C: <1> STARTTLS
                S: * OK [ALERT] nor this
                S: <1> OK go ahead
                TLS
                C: <2> CAPABILITY
                S: * CAPABILITY IMAP4rev1 LITERAL+
                S: <2> OK done
                C: <3> LOGIN \"alice\" \"hunter2\"
                S: <3> OK in
                = done \"in\"",
    },
    Talk {
        name: "STARTTLS refused",
        with: ("alice", "hunter2", &["starttls"]),
        lines: "S: * OK hello
                C: <1> STARTTLS
                S: <1> BAD unknown command
                = tls to the host failed: STARTTLS refused: BAD unknown command",
    },
    Talk {
        name: "STARTTLS answered by a closed connection",
        with: ("alice", "hunter2", &["starttls"]),
        lines: "S: * OK hello
                C: <1> STARTTLS
                EOF
                = host not reached: it closed the connection in state=starttls",
    },
];
