//! What no transcript can say: it depends on what is read together, or on how little is held.

use super::*;
use crate::protocol::front::checks;
use crate::protocol::{
    Channel, ClearLogin, Farewell, Server as _, StartTls, Step, Verdict, Welcome,
};

fn server() -> Box<Server> {
    let mut server = Box::new(Server::new(FrontSettings {
        mechanisms: crate::protocol::sasl::Mechanisms::PASSWORD,
        greeting: "ready".into(),
        session: "S1".into(),
        channel: Channel::Tls,
        capabilities: None,
        line: 8 * 1024,
        bad_commands: 5,
    }));
    assert!(matches!(server.step(), Step::Write(_)));
    server
}

#[test]
fn a_held_unauthenticate_does_not_reach_the_host() {
    let mut server = server();
    server.receive(b"a LOGIN alice secret\r\nb NOOP\r\nc UNAUTHENTICATE\r\n");
    assert!(matches!(server.step(), Step::Login(_)));
    let mut handover = server.accept(Welcome::default());
    assert!(handover.to_host.is_empty());
    assert_eq!(
        handover.to_client.escape_ascii().to_string(),
        "a OK logged in\\r\\n* BYE command not allowed here\\r\\n"
    );
    assert_eq!(
        handover.observer.client_to_host(b"d NOOP\r\n"),
        Verdict::End
    );
}

#[test]
fn the_observer_sees_what_stands_behind_the_ok() {
    let mut server = server();
    server.receive(b"a LOGIN alice secret\r\nb FETCH 1 BODY[]\r\n");
    assert!(matches!(server.step(), Step::Login(_)));
    let mut handover = server.accept(Welcome {
        rest: b"* 1 FETCH (BODY[] {5}\r\nab".to_vec(),
        ..Welcome::default()
    });
    let observer = &mut handover.observer;
    assert_eq!(observer.goodbye(Farewell::Shutdown), None);
    observer.host_to_client(&mut b"c\r\n)\r\n".to_vec());
    assert_eq!(observer.goodbye(Farewell::Shutdown), None, "FETCH runs");
    observer.host_to_client(&mut b"b OK\r\n".to_vec());
    assert!(observer.goodbye(Farewell::Shutdown).is_some());
}

#[test]
fn tls_from_the_first_octet_keeps_the_greeting() {
    let mut server = Server::new(server().settings);
    server.tls_started();
    let Step::Write(greeting) = server.step() else {
        panic!("no greeting");
    };
    assert!(greeting.starts_with(b"* OK "));
}

#[test]
fn a_burst_is_answered_one_at_a_time() {
    let mut server = server();
    server.receive(&b"a CAPABILITY\r\n".repeat(500));
    let mut answers = 0;
    while let Step::Write(answer) = server.step() {
        assert!(answer.len() < 200);
        answers += 1;
    }
    assert_eq!(answers, 500);
}

#[test]
fn little_is_held_while_nothing_comes() {
    let mut server = server();
    server.receive(&[b"a AUTHENTICATE PLAIN ".to_vec(), b"QUFB".repeat(500)].concat());
    for _ in 0..7 {
        assert!(matches!(server.step(), Step::Read));
        server.receive(&b"QUFB".repeat(1000));
        assert!(
            server.held() <= crate::protocol::HELD_MAX,
            "{}",
            server.held()
        );
    }
    server.receive(b"\r\n");
    assert!(matches!(server.step(), Step::Write(_)));
    assert!(matches!(server.step(), Step::Read));
    assert!(server.held() <= 16 * 1024, "{}", server.held());
    assert!(size_of::<Server>() < 512, "{}", size_of::<Server>());
}

#[test]
fn a_verb_behind_the_longest_line_asks_for_no_longer_one() {
    let padding = |tag: usize| "W".repeat(tag);
    for (command, fits) in [
        (format!("{} ID NIL\r\n", padding(60)), true),
        (format!("{} ID NIL\r\n", padding(61)), true),
        (format!("{} ID\r\n", padding(61)), true),
        (format!("{} ID NIL\r\n", padding(62)), false),
        (format!("{} IDLE\r\n", padding(61)), false),
        (format!("{} AUTHENTICATE BQ\r\n", padding(60)), false),
    ] {
        let heard = |most: usize| {
            let mut settings = server().settings;
            settings.line = 64;
            let mut server = Server::new(settings);
            let mut heard = Vec::new();
            for part in command.as_bytes().chunks(most) {
                server.receive(part);
                while let Step::Write(octets) = server.step() {
                    heard.extend(octets);
                }
            }
            String::from_utf8(heard).unwrap()
        };
        let whole = heard(command.len());
        assert_eq!(!whole.contains("line too long"), fits, "{command}{whole}");
        for most in 1..command.len() {
            assert_eq!(heard(most), whole, "{command} in parts of {most}");
        }
    }
}

fn in_clear() -> Server {
    let mut settings = server().settings;
    settings.channel = Channel::Clear {
        starttls: StartTls::Yes,
        login: ClearLogin::Refused,
    };
    let mut server = Server::new(settings);
    assert!(matches!(server.step(), Step::Write(_)));
    server
}

#[test]
fn a_ttl_told_in_clear_does_not_outlive_starttls() {
    checks::forgets_a_ttl_told_in_clear(
        &mut in_clear(),
        b"a ID (\"x-proxy-ttl\" \"1\")\r\n",
        b"b STARTTLS\r\n",
        b"c ID (\"x-proxy-ttl\" \"2\")\r\n",
    );
}

#[test]
fn nothing_is_held_while_tls_is_asked_for() {
    checks::holds_nothing_while_tls_is_asked_for(
        &mut in_clear(),
        b"a ID (",
        b"b NOOP\r\n",
        b"c STARTTLS\r\n",
    );
}
