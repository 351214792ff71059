//! Hosts that refuse: the login, or to be logged in to at all.

use super::{ALICE, Talk};

pub(super) const TALKS: &[Talk] = &[
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
        name: "a goodbye that says why tells what a bare refusal means",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BYE [unavailable] the users are not to be had
                S: <1> NO x
                = refused UNAVAILABLE",
    },
    Talk {
        name: "the refusal's own word counts",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BYE [UNAVAILABLE] x
                S: <1> NO [AUTHENTICATIONFAILED] wrong
                = refused AUTHENTICATIONFAILED",
    },
    Talk {
        name: "a goodbye for a reason that nobody knows",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BYE [XRATE 5] x
                S: <1> NO wrong
                = refused AUTHENTICATIONFAILED",
    },
    Talk {
        name: "a goodbye that says why is an answer, where no other follows",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BYE [LIMIT] x
                EOF
                = refused LIMIT",
    },
    Talk {
        name: "before the credentials are sent it is none",
        with: ALICE,
        lines: "S: * OK hello
                C: <1> CAPABILITY
                S: * BYE [AUTHENTICATIONFAILED] x
                EOF
                = host not reached: it said goodbye: x",
    },
    Talk {
        name: "TLS on our leg is not the client's business",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BAD [ALERT] your client sent its password in clear
                S: <1> NO [PRIVACYREQUIRED] not without TLS
                = host cannot be used: it answers a login with [PRIVACYREQUIRED]; it may want TLS first (imap+starttls:// or imaps://)",
    },
    Talk {
        name: "nor where it says so in its goodbye",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: * BYE [PRIVACYREQUIRED] x
                S: <1> NO x
                = host cannot be used: it answers a login with [PRIVACYREQUIRED]; it may want TLS first (imap+starttls:// or imaps://)",
    },
    Talk {
        name: "closed at once",
        with: ALICE,
        lines: "EOF
                = host not reached: it closed the connection in state=greeting",
    },
];
