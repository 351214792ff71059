//! Conversations with hosts, as data.

/// Lines of the host (`S:`) and ours (`C:`) by turns, `TLS` for the handshake, `EOF` for the host's
/// end, `X:` for a challenge that reaches the client, `A:` for its answer (`A*` for none), and at last
/// the outcome (`=`). `<n>` stands for the n-th tag.
pub(super) struct Talk {
    pub(super) name: &'static str,
    /// User and password; options: `starttls`, `origin`, `behind`; the name of a SASL mechanism, then the
    /// password is a message of it.
    pub(super) with: (&'static str, &'static str, &'static [&'static str]),
    pub(super) lines: &'static str,
}

pub(super) const ALICE: (&str, &str, &[&str]) = ("alice", "hunter2", &[]);

const TOKEN: &str = "user=tim^auth=Bearer x^^";

/// Legitimate hosts, and the answers of hosts that refuse.
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
        name: "a token in one turn, nothing behind it in the same burst",
        with: ("tim", TOKEN, &["XOAUTH2", "behind"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
                C: <1> AUTHENTICATE XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
                S: <1> OK in
                = done \"in\"",
    },
    Talk {
        name: "a token under another name, in two turns, and an error of the host's",
        with: ("tim.new", TOKEN, &["XOAUTH2"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] ready
                C: <1> AUTHENTICATE XOAUTH2
                S: +
                C: dXNlcj10aW0ubmV3AWF1dGg9QmVhcmVyIHgBAQ==
                S: + e30=
                X: e30=
                A: {{}}
                C: {{}}
                S: <1> NO [AUTHENTICATIONFAILED] no
                = refused AUTHENTICATIONFAILED",
    },
    Talk {
        name: "a host with no better word than BAD",
        with: ("tim", TOKEN, &["XOAUTH2"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
                C: <1> AUTHENTICATE XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
                S: + e30=
                X: e30=
                A: AQ==
                C: AQ==
                S: <1> BAD no
                = refused AUTHENTICATIONFAILED",
    },
    Talk {
        name: "the client gives up",
        with: ("tim", TOKEN, &["XOAUTH2"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
                C: <1> AUTHENTICATE XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
                S: + e30=
                X: e30=
                A* {{}}
                C: *
                = the client gave the exchange up",
    },
    Talk {
        name: "the host is gone in the middle",
        with: ("tim", TOKEN, &["XOAUTH2"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
                C: <1> AUTHENTICATE XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
                S: + e30=
                X: e30=
                A: {{}}
                C: {{}}
                EOF
                = host not reached: it closed the connection in state=login",
    },
    Talk {
        name: "a token for a host that takes none",
        with: ("tim", TOKEN, &["XOAUTH2"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=OAUTHBEARER] ready
                = such credentials are not taken: it offers no AUTH=XOAUTH2, as this login needs",
    },
    Talk {
        name: "SCRAM",
        with: ("tim", "n,,n=tim,r=a", &["SCRAM-SHA-256", "behind"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256] ready
                C: <1> AUTHENTICATE SCRAM-SHA-256 biwsbj10aW0scj1h
                S: + cj1h
                X: cj1h
                A: Yz1iaXdz
                C: Yz1iaXdz
                S: + dj14
                X: dj14
                A: {{}}
                C: {{}}
                S: <1> OK [CAPABILITY IMAP4rev1] in
                = done \"in\" [IMAP4REV1]",
    },
    Talk {
        name: "SCRAM of which a host leaves its own proof out",
        with: ("tim", "n,,n=tim,r=a", &["SCRAM-SHA-256"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256] ready
                C: <1> AUTHENTICATE SCRAM-SHA-256 biwsbj10aW0scj1h
                S: + cj1h
                X: cj1h
                A: Yz1iaXdz
                C: Yz1iaXdz
                S: <1> OK in
                = host broke the protocol: expected no OK before the whole login was sent, or behind BYE, got \"OK, 14 octets\"",
    },
    Talk {
        name: "an exchange without an end",
        with: ("tim", TOKEN, &["XOAUTH2"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
                C: <1> AUTHENTICATE XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
                S: + e30=
                X: e30=
                A: {{}}
                C: {{}}
                S: + e30=
                = host broke the protocol: expected a challenge of the mechanism, got \"+, 6 octets\"",
    },
    Talk {
        name: "a challenge that is no base64",
        with: ("tim", TOKEN, &["XOAUTH2"]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready
                C: <1> AUTHENTICATE XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
                S: + what?
                = host broke the protocol: expected a challenge of the mechanism, got \"+, 7 octets\"",
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
    Talk {
        name: "a bare NO is a wrong password",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: <1> NO no such user
                = refused AUTHENTICATIONFAILED",
    },
    Talk {
        name: "an unknown code, too",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: <1> NO [REFERRAL imap://elsewhere/] go away
                = refused AUTHENTICATIONFAILED",
    },
    Talk {
        name: "a host in trouble",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] x
                C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
                S: * OK Waiting for authentication process to respond..
                S: <1> NO [unavailable] Temporary authentication failure.
                = refused UNAVAILABLE",
    },
    Talk {
        name: "an ALERT with the refusal",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: <1> NO [ALERT] Please log in via your web browser: https://x.example/ (Failure)
                = refused AUTHENTICATIONFAILED alert=Please log in via your web browser: https://x.example/ (Failure)",
    },
    Talk {
        name: "an ALERT before the refusal",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * NO [ALERT] locked
                S: <1> NO [LIMIT] too many
                = refused LIMIT alert=locked",
    },
    Talk {
        name: "BAD is no refusal, and a host that quotes the command is not quoted",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: <1> BAD unknown: LOGIN \"alice\" \"hunter2\"
                = host broke the protocol: expected OK or NO to the login, got \"BAD, 45 octets\"",
    },
    Talk {
        name: "nor where it quotes but a part",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: <1> BAD no such command: LOGIN \"alice\" \"hunt
                = host broke the protocol: expected OK or NO to the login, got \"BAD, 49 octets\"",
    },
    Talk {
        name: "nor where it says goodbye with it",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BYE what is \"hunt
                EOF
                = host not reached: it said goodbye: 13 octets",
    },
    Talk {
        name: "LOGINDISABLED and no other way",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] x
                = host cannot be used: it says LOGINDISABLED and offers no AUTH=PLAIN; it may want TLS first (imap+starttls:// or imaps://)",
    },
    Talk {
        name: "BYE for a greeting",
        with: ALICE,
        lines: "S: * BYE [UNAVAILABLE] too many connections
                = host not reached: it greeted with BYE: too many connections",
    },
    Talk {
        name: "PREAUTH",
        with: ("alice", "hunter2", &["starttls"]),
        lines: "S: * PREAUTH welcome root
                = host broke the protocol: expected a greeting of OK, got \"* PREAUTH welcome root\"",
    },
    Talk {
        name: "another protocol",
        with: ALICE,
        lines: "S: +OK POP3 ready
                = host broke the protocol: expected a greeting, got \"+OK POP3 ready\"",
    },
    Talk {
        name: "yet another",
        with: ALICE,
        lines: "S: HTTP/1.1 400 Bad Request
                = host broke the protocol: expected a greeting, got \"HTTP/1.1 400 Bad Request\"",
    },
    Talk {
        name: "a goodbye in the middle",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BYE shutting down
                EOF
                = host not reached: it said goodbye: 13 octets",
    },
    Talk {
        name: "a goodbye before the refusal does not hide it",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BYE too many failures
                S: <1> NO [AUTHENTICATIONFAILED] wrong
                = refused AUTHENTICATIONFAILED",
    },
    Talk {
        name: "closed at once",
        with: ALICE,
        lines: "EOF
                = host not reached: it closed the connection in state=greeting",
    },
];

/// Hosts, or people on the line, that mean harm: as they come, uncut, because some of these depend on
/// what arrives together.
pub(super) const ATTACKS: &[Talk] = &[
    Talk {
        name: "words behind the OK to STARTTLS",
        with: ("alice", "hunter2", &["starttls"]),
        lines: "S: * OK hello
                C: <1> STARTTLS
                S: <1> OK go ahead
                S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
                = host broke the protocol: expected nothing behind the OK to STARTTLS, got \"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\"",
    },
    Talk {
        name: "the answer before the question",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] hello
                S: <1> OK welcome
                = host broke the protocol: expected no reply before the command, got \"<1> OK welcome\"",
    },
    Talk {
        name: "go on before the question",
        with: ("alice", "p\u{e4}ss", &[]),
        lines: "S: * OK [CAPABILITY IMAP4rev1] hello
                S: + go on
                = host broke the protocol: expected no reply before the command, got \"+ go on\"",
    },
    Talk {
        name: "OK before the password was asked for",
        with: ("alice", "p\u{e4}ss", &[]),
        lines: "S: * OK [CAPABILITY IMAP4rev1] hello
                C: <1> LOGIN {5}
                S: + ready
                C: alice {5}
                S: <1> OK welcome whoever you are
                = host broke the protocol: expected no OK before the whole login was sent, or behind BYE, got \"OK, 35 octets\"",
    },
    Talk {
        name: "NO before the password was asked for says nothing about it",
        with: ("alice", "p\u{e4}ss", &[]),
        lines: "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello
                C: <1> AUTHENTICATE PLAIN
                S: <1> NO not today
                = host broke the protocol: expected a + for the credentials, got \"NO, 21 octets\"",
    },
    Talk {
        name: "another tag",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] hello
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: A1 OK welcome
                = host broke the protocol: expected the reply to our command, got \"OK, 13 octets\"",
    },
    Talk {
        name: "a challenge too many",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello
                C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
                S: + tell me more
                = host broke the protocol: expected a tagged reply, got \"+, 14 octets\"",
    },
    Talk {
        name: "OK behind BYE",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] hello
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BYE
                S: <1> OK in
                = host broke the protocol: expected no OK before the whole login was sent, or behind BYE, got \"OK, 14 octets\"",
    },
    Talk {
        name: "PREAUTH behind the greeting",
        with: ALICE,
        lines: "S: * OK hello
                S: * PREAUTH root
                C: <1> CAPABILITY
                = host broke the protocol: expected no PREAUTH behind the greeting, got \"* PREAUTH root\"",
    },
    Talk {
        name: "a literal without end",
        with: ALICE,
        lines: "S: * OK hello
                C: <1> CAPABILITY
                S: * X {4294967296}
                = host broke the protocol: expected a response of at most 16 KiB, got \"* X {4294967296}\"",
    },
];
