//! The front servers alone: EXTERNAL is there for who showed a certificate, and what a gateway in
//! front of us says of its TTL is remembered.

use gatepost::protocol::{
    Channel, ClearLogin, Failure, FrontSettings, HELD_MAX, Protocol, Server, StartTls, Step,
    UserName, imap, pop3,
};

const CLEAR: Channel = Channel::Clear {
    starttls: StartTls::Yes,
    login: ClearLogin::Refused,
};

fn server(protocol: Protocol, channel: Channel) -> Box<dyn Server> {
    let settings = FrontSettings {
        mechanisms: gatepost::protocol::sasl::Mechanisms::PASSWORD,
        greeting: "ready".into(),
        session: "S1".into(),
        channel,
        capabilities: None,
        line: 8192,
        bad_commands: 5,
    };
    match protocol {
        Protocol::Imap => Box::new(imap::server::Server::new(settings)),
        Protocol::Pop3 => Box::new(pop3::server::Server::new(settings)),
    }
}

fn tim() -> UserName {
    UserName::new(b"tim@example.org").unwrap()
}

/// Says these octets; what came back, logins as `<mechanism name>`, each of them rejected.
fn talk(server: &mut dyn Server, octets: &str, certificate: Option<UserName>) -> String {
    let mut said = String::new();
    let mut octets = Some(octets);
    loop {
        match server.step() {
            Step::Read => match octets.take() {
                Some(octets) => server.receive(octets.as_bytes()),
                None => return said,
            },
            Step::Write(bytes) => said.push_str(&String::from_utf8_lossy(&bytes)),
            Step::StartTls => {
                said.push_str("<TLS>");
                server.tls_started();
                if let Some(name) = certificate.clone() {
                    server.certificate_shown(name);
                }
                return said;
            }
            Step::Login(login) => {
                let mechanism = login.mechanism.as_str();
                said.push_str(&format!("<{mechanism} {}>", login.user));
                server.reject(&Failure::Credentials);
            }
            Step::Exchange(_) => panic!("an answer to no challenge"),
            Step::Close(_) => return said + "<close>",
        }
    }
}

#[test]
fn external_is_offered_to_who_showed_a_certificate() {
    for (protocol, list, offered, login, failed) in [
        (
            Protocol::Imap,
            "a CAPABILITY\r\n",
            "AUTH=EXTERNAL",
            "b AUTHENTICATE EXTERNAL =\r\n",
            "b NO ",
        ),
        (
            Protocol::Pop3,
            "CAPA\r\n",
            " EXTERNAL\r\n",
            "AUTH EXTERNAL =\r\n",
            "-ERR ",
        ),
        (
            Protocol::Pop3,
            "AUTH\r\n",
            "\r\nEXTERNAL\r\n",
            "AUTH EXTERNAL =\r\n",
            "-ERR ",
        ),
    ] {
        let mut without = server(protocol, Channel::Tls);
        assert!(
            !talk(&mut *without, list, None).contains("EXTERNAL"),
            "{protocol}"
        );
        let said = talk(&mut *without, login, None);
        assert!(said.starts_with(failed) && !said.contains('<'), "{said}");

        let mut with = server(protocol, Channel::Tls);
        with.certificate_shown(tim());
        let said = talk(&mut *with, list, None);
        assert!(said.contains(offered), "{said}");
        let said = talk(&mut *with, login, None);
        assert!(said.starts_with("<EXTERNAL tim@example.org>"), "{said}");
    }
}

/// A connection holds no more because its client has a long certificate; a token of 12,000 octets works beside it.
#[test]
fn who_has_shown_a_long_certificate_says_shorter_lines() {
    let octets = 14 * 1024;
    for (protocol, begin) in [
        (Protocol::Imap, "a AUTHENTICATE OAUTHBEARER "),
        (Protocol::Pop3, "AUTH OAUTHBEARER "),
    ] {
        let long = |length: usize| format!("{begin}{}", "x".repeat(length));
        for (beside, length, want) in [
            (0, 32_000, true),
            (octets, 32_000, false),
            (octets, 16_300, true),
            (usize::MAX, 16_300, true),
            (1500, 29_000, true),
        ] {
            let mut server = server(protocol, Channel::Tls);
            server.hold_less(beside);
            let mut said = String::new();
            for chunk in long(length).as_bytes().chunks(2048) {
                said += &talk(&mut *server, std::str::from_utf8(chunk).unwrap(), None);
            }
            let held = server.held();
            assert_eq!(
                held > length,
                want,
                "{protocol} {beside} {length}: {held} {said}"
            );
            assert!(held + beside.min(octets) <= HELD_MAX, "{held}");
        }
    }
}

#[test]
fn a_certificate_may_come_with_starttls_and_never_in_clear() {
    for (protocol, upgrade, list) in [
        (Protocol::Imap, "a STARTTLS\r\n", "b CAPABILITY\r\n"),
        (Protocol::Pop3, "STLS\r\n", "CAPA\r\n"),
    ] {
        let mut server = server(protocol, CLEAR);
        assert!(!talk(&mut *server, list, None).contains("EXTERNAL"));
        assert!(talk(&mut *server, upgrade, Some(tim())).ends_with("<TLS>"));
        assert!(talk(&mut *server, list, None).contains("EXTERNAL"));
    }
}

#[test]
fn an_authzid_is_empty_or_the_name_of_the_certificate() {
    for (answer, want) in [
        ("", "<EXTERNAL tim@example.org>"),
        ("dGltQGV4YW1wbGUub3Jn", "<EXTERNAL tim@example.org>"),
        ("YW5uQGV4YW1wbGUub3Jn", "AUTHENTICATIONFAILED"),
        ("*", "BAD"),
        ("!", "BAD"),
    ] {
        let mut server = server(Protocol::Imap, Channel::Tls);
        server.certificate_shown(tim());
        let begun = talk(&mut *server, "a AUTHENTICATE external\r\n", None);
        assert!(begun.ends_with("+ \r\n"), "{begun}");
        let said = talk(&mut *server, &format!("{answer}\r\n"), None);
        assert!(said.contains(want), "{answer}: {said}");
    }
}

#[test]
fn the_lowest_ttl_counts_and_other_claims_do_not() {
    for (protocol, says, want) in [
        (Protocol::Imap, "a ID NIL\r\n", None),
        (Protocol::Imap, "a ID (\"name\" \"x\")\r\n", None),
        (Protocol::Imap, "a ID (\"x-proxy-ttl\" \"4\")\r\n", Some(4)),
        (Protocol::Imap, "a ID (\"X-Proxy-TTL\" \"0\")\r\n", Some(0)),
        (
            Protocol::Imap,
            "a ID (\"x-proxy-ttl\" \"999\")\r\n",
            Some(255),
        ),
        (Protocol::Imap, "a ID (\"x-proxy-ttl\" \"-1\")\r\n", None),
        (Protocol::Imap, "a ID (\"x-proxy-ttl\" NIL)\r\n", None),
        (
            Protocol::Imap,
            "a ID (\"x-proxy-ttl\" \"3\" \"x-proxy-ttl\" \"5\")\r\nb ID (\"x-proxy-ttl\" \"7\")\r\n",
            Some(3),
        ),
        (
            Protocol::Imap,
            "a ID (\"x-proxy-ttl\" \"4\") junk\r\n",
            None,
        ),
        (Protocol::Pop3, "XCLIENT ADDR=192.0.2.1 TTL=4\r\n", Some(4)),
        (Protocol::Pop3, "XCLIENT ttl=2 TTL=6\r\n", Some(2)),
        (Protocol::Pop3, "XCLIENT TTL=\r\n", None),
        (Protocol::Pop3, "XCLIENT ADDR=192.0.2.1\r\n", None),
    ] {
        let mut server = server(protocol, Channel::Tls);
        talk(&mut *server, says, None);
        assert_eq!(server.ttl(), want, "{says}");
    }
    // What was said in clear is forgotten.
    let mut server = server(Protocol::Imap, CLEAR);
    talk(
        &mut *server,
        "a ID (\"x-proxy-ttl\" \"4\")\r\nb STARTTLS\r\n",
        None,
    );
    assert_eq!(server.ttl(), None);
}
