//! Tokens and SCRAM, from a mail client to the host and back.

use base64::Engine as _;

use super::*;

/// As `login`, by a message of SASL.
pub(super) fn relayed(mechanism: Mechanism, message: &str) -> HostLogin {
    let mut exchange = sasl::Server::new(mechanism);
    let message = message.replace('^', "\x01");
    let text = base64::engine::general_purpose::STANDARD.encode(&message);
    let sasl::Turn::Login(shown) = exchange.start(Some(text.as_bytes())) else {
        panic!("no login: {message}");
    };
    HostLogin {
        user: shown.user,
        credentials: shown.credentials,
        behind: b"STAT\r\n".to_vec(),
        ..login(StartTls::No, b"x")
    }
}

#[test]
fn tokens_and_scram_are_relayed() {
    let offers = |mechanism: &str| {
        format!(
            "H: +OK ready
         G: CAPA
         H: +OK
         H: PIPELINING
         H: SASL PLAIN {mechanism}
         H: .\n"
        )
    };
    let token = || relayed(Mechanism::XOAuth2, "user=tim^auth=Bearer x^^");
    let scram = || relayed(Mechanism::ScramSha1, "n,,n=tim,r=a");
    for (login, offered, script) in [
        (
            token as fn() -> HostLogin,
            "XOAUTH2",
            "G: AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
             H: +OK in
             = done \"in\" rest \"\" NotSent",
        ),
        (
            token,
            "XOAUTH2",
            "G: AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
             H: + e30=
             X: e30=
             A:
             G:
             H: -ERR [AUTH] no
             = Refused { code: AuthenticationFailed, alert: None }",
        ),
        // The initial response went unnoticed.
        (
            token,
            "xoauth2",
            "G: AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
             H: +
             G: dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
             H: + e30=
             X: e30=
             A*
             G: *
             = Aborted",
        ),
        (
            token,
            "XOAUTH2",
            "G: AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
             H: + e30=
             X: e30=
             A:
             G:
             H: + e30=
             = HostProtocol { expected: \"an end of the exchange\", got: \"6 octets\" }",
        ),
        (
            token,
            "XOAUTH2",
            "G: AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
             H: + what?
             = HostProtocol { expected: \"an end of the exchange\", got: \"7 octets\" }",
        ),
        (
            token,
            "XOAUTH2",
            "G: AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgeAEB
             H: + e30=
             X: e30=
             A:
             G:
             EOF
             = Unreachable { cause: \"connection closed in state=login\" }",
        ),
        (
            token,
            "OAUTHBEARER",
            "= NotTaken { cause: \"it offers no SASL XOAUTH2, as this login needs\" }",
        ),
        (
            scram,
            "SCRAM-SHA-1",
            "G: AUTH SCRAM-SHA-1 biwsbj10aW0scj1h
             H: + cj1h
             X: cj1h
             A: Yz1iaXdz
             G: Yz1iaXdz
             H: + dj14
             X: dj14
             A:
             G:
             H: +OK in
             = done \"in\" rest \"\" NotSent",
        ),
        // Without the host's own proof there is no login.
        (
            scram,
            "SCRAM-SHA-1",
            "G: AUTH SCRAM-SHA-1 biwsbj10aW0scj1h
             H: + cj1h
             X: cj1h
             A: Yz1iaXdz
             G: Yz1iaXdz
             H: +OK in
             = HostProtocol { expected: \"no +OK before the end of the exchange\", got: \"2 octets\" }",
        ),
    ] {
        for cut in [Cut::Lines, Cut::Octets] {
            let script = format!("{}{script}", offers(offered));
            play(&script, login(), cut);
        }
    }
}

#[test]
fn long_tokens_go_behind_the_command() {
    let message = format!("n,a=tim,^auth=Bearer {}^^", "x".repeat(12 * 1024));
    let login = relayed(Mechanism::OAuthBearer, &message);
    let first = relayed::first(&login.user, &login.credentials).unwrap();
    let script = format!(
        "H: +OK ready
         G: CAPA
         H: +OK
         H: SASL OAUTHBEARER
         H: .
         G: AUTH OAUTHBEARER
         H: +
         G: {}
         H: +OK
         = done \"\" rest \"\" NotSent",
        String::from_utf8_lossy(&first)
    );
    play(&script, login, Cut::Lines);
}
