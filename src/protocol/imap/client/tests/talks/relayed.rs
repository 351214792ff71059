//! Logins whose messages the client and the host make between them: tokens and SCRAM.

use super::Talk;

const TOKEN: &str = "user=tim^auth=Bearer x^^";

pub(super) const TALKS: &[Talk] = &[
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
];
