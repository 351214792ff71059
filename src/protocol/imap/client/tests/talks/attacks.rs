//! Hosts, or people on the line, that mean harm.

use super::{ALICE, Talk};

/// As they come, uncut, because some of these depend on what arrives together.
pub(in super::super) const ATTACKS: &[Talk] = &[
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
