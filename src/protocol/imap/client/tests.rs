//! Conversations with hosts, from `talks`: each is played as it stands, octet by octet, and cut in two at
//! every place.

mod lies;
mod looks;
mod talks;

use talks::{ALICE, ATTACKS, Talk, talk, talks};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::capability::Pipelining;
use super::command::Tags;
use super::*;
use crate::protocol::{Client as _, Credentials, Origin, Secret, StartTls, Transport, UserName};

const SEED: u128 = 0x5eed;

fn login((user, password, options): (&str, &str, &[&str])) -> HostLogin {
    let has = |name| options.contains(&name);
    HostLogin {
        user: UserName::new(user.as_bytes()).unwrap(),
        credentials: match options
            .iter()
            .find_map(|name| sasl::Mechanism::from_name(name.as_bytes()))
        {
            Some(mechanism) => relayed(mechanism, password),
            None => Credentials::Password(Secret::new(password.as_bytes()).unwrap()),
        },
        starttls: if has("starttls") {
            StartTls::Yes
        } else {
            StartTls::No
        },
        seed: SEED,
        origin: has("origin").then(|| Origin {
            client: "192.0.2.7:4711".parse().unwrap(),
            connected: "[::ffff:198.51.100.1]:993".parse().unwrap(),
            session: "s\"\\1\u{1b}".into(),
            ttl: 7,
            transport: Transport::Tls,
        }),
        behind: if has("behind") {
            b"g1 SELECT INBOX\r\n".to_vec()
        } else {
            Vec::new()
        },
    }
}

/// Credentials that are a message of SASL; `^` stands for the separator of its fields.
fn relayed(mechanism: sasl::Mechanism, message: &str) -> Credentials {
    let text = BASE64.encode(message.replace('^', "\x01"));
    match sasl::Server::new(mechanism).start(Some(text.as_bytes())) {
        sasl::Turn::Login(login) => login.credentials,
        other => panic!("{other:?}"),
    }
}

fn tagged(line: &str) -> String {
    let mut tags = Tags::new(SEED);
    (1..=9).fold(line.replace("{{}}", ""), |line, n| {
        let tag = String::from_utf8(tags.next().line("")).unwrap();
        line.replace(&format!("<{n}>"), tag.trim_end())
    })
}

fn show(outcome: HostStep) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "~");
    match outcome {
        HostStep::Done(it) => {
            let mut shown = format!("done {:?}", it.text);
            if let Some(capabilities) = it.capabilities {
                shown += &format!(" [{}]", capabilities.join(" "));
            }
            for (name, bytes) in [("untagged", it.untagged), ("rest", it.rest)] {
                if !bytes.is_empty() {
                    shown += &format!(" {name}={}", text(&bytes));
                }
            }
            if it.behind == Behind::Sent {
                shown += " behind";
            }
            shown
        }
        HostStep::Failed(failure) => {
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
            match failure {
                Failure::Refused { code, alert } => {
                    let alert = alert.map(|alert| format!(" alert={alert}"));
                    format!("refused {}{}", code.as_str(), alert.unwrap_or_default())
                }
                other => other.to_string(),
            }
        }
        other => format!("{other:?}"),
    }
}

enum Event {
    Host(Vec<u8>),
    Client(String),
    Tls,
    Eof,
    Challenge(String),
    Answer(sasl::Answer),
    Outcome(String),
}

fn events(lines: &str) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for line in lines.lines().map(|line| tagged(line.trim_start())) {
        let (kind, text) = line.split_at_checked(3).unwrap_or((&line, ""));
        match (kind, events.last_mut()) {
            ("S: ", Some(Event::Host(flight))) => flight.extend(format!("{text}\r\n").bytes()),
            ("S: ", _) => events.push(Event::Host(format!("{text}\r\n").into_bytes())),
            ("C: ", Some(Event::Client(flight))) => *flight += &format!("{text}\r\n"),
            ("C: ", _) => events.push(Event::Client(format!("{text}\r\n"))),
            ("X: ", _) => events.push(Event::Challenge(text.into())),
            ("A: ", _) => {
                let message = sasl::Message::from_base64(text.as_bytes()).unwrap();
                events.push(Event::Answer(sasl::Answer::Message(message)));
            }
            ("A* ", _) => events.push(Event::Answer(sasl::Answer::Abort)),
            ("TLS", _) => events.push(Event::Tls),
            ("EOF", _) => events.push(Event::Eof),
            ("", _) => {}
            _ => events.push(Event::Outcome(line.trim_start_matches("= ").into())),
        }
    }
    events
}

/// A conversation being played.
struct Play {
    client: Client,
    written: Vec<u8>,
    outcome: Option<HostStep>,
}

impl Play {
    fn drive(&mut self) {
        while self.outcome.is_none() {
            match self.client.step() {
                HostStep::Read => return,
                HostStep::Write(bytes) => self.written.extend(bytes),
                outcome => self.outcome = Some(outcome),
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        if let Some(HostStep::Done(welcome)) = &mut self.outcome {
            // Whoever took over reads it.
            welcome.rest.extend_from_slice(bytes);
        } else {
            self.client.receive(bytes);
            self.drive();
        }
    }
}

/// Plays a conversation; `cut` says at which places a host's flight of so many octets is cut.
fn play(talk: &Talk, remembered: Option<Profile>, cut: &dyn Fn(usize) -> Vec<usize>) -> Client {
    let name = talk.name;
    let mut play = Play {
        client: Client::new(login(talk.with), remembered),
        written: Vec::new(),
        outcome: None,
    };
    play.drive();
    for event in events(talk.lines) {
        match event {
            Event::Host(flight) => {
                let mut from = 0;
                for to in cut(flight.len()).into_iter().chain([flight.len()]) {
                    play.hear(&flight[from.min(to)..to]);
                    from = to;
                }
            }
            Event::Client(flight) => {
                let written = String::from_utf8(std::mem::take(&mut play.written)).unwrap();
                assert_eq!(written, flight, "{name}");
            }
            Event::Tls => {
                let outcome = play.outcome.take();
                assert!(
                    matches!(outcome, Some(HostStep::StartTls)),
                    "{name}: {outcome:?}"
                );
                play.client.tls_started();
                play.drive();
            }
            Event::Challenge(want) => {
                let outcome = play.outcome.take();
                let Some(HostStep::Exchange(challenge)) = outcome else {
                    panic!("{name}: {outcome:?}");
                };
                assert_eq!(challenge.to_base64()[..], *want.as_bytes(), "{name}");
            }
            Event::Answer(answer) => {
                play.client.answer(answer);
                play.drive();
            }
            Event::Eof => {
                play.client.closed();
                play.drive();
            }
            Event::Outcome(want) => {
                assert_eq!(play.written, b"", "{name}: more was written");
                assert_eq!(
                    play.outcome.take().map_or("waits".into(), show),
                    want,
                    "{name}"
                );
            }
        }
    }
    play.client
}

#[test]
fn hosts_are_logged_in_to_however_their_words_are_cut() {
    for talk in talks() {
        play(talk, None, &|_| Vec::new());
        play(talk, None, &|len| (1..len).collect());
        let longest = events(talk.lines)
            .iter()
            .map(|event| {
                if let Event::Host(flight) = event {
                    flight.len()
                } else {
                    0
                }
            })
            .max();
        for place in 1..longest.unwrap_or(0) {
            play(talk, None, &|len| {
                if place < len { vec![place] } else { Vec::new() }
            });
        }
    }
}

#[test]
fn attacks_fail() {
    for talk in ATTACKS {
        // The outcome shows the tag of its words.
        play(talk, None, &|_| Vec::new());
    }
}

/// The greeting's and the capabilities' turn are saved on the second login.
#[test]
fn what_was_learned_is_not_asked_again() {
    let courier = talk("Courier: ");
    let learned = play(courier, None, &|_| Vec::new()).learned();
    let again = Talk {
        name: "the same greeting",
        with: ALICE,
        lines: "S: * OK Courier-IMAP ready. Copyright 1998-2021 Double Precision, Inc.
                C: <1> LOGIN \"alice\" \"hunter2\"
                S: <1> BAD not any more
                = host broke the protocol: expected OK or NO to the login, got \"BAD, 25 octets\"",
    };
    let forgotten = play(&again, learned.clone(), &|_| Vec::new()).learned();
    let asked = "S: * OK Courier-IMAP ready. Copyright 1998-2021 Double Precision, Inc.
                C: <1> CAPABILITY
                = waits";
    let other = "S: * OK Another ready.
                C: <1> CAPABILITY
                = waits";
    for (lines, remembered) in [(asked, forgotten), (asked, None), (other, learned)] {
        let talk = Talk {
            name: "asked",
            with: ALICE,
            lines,
        };
        play(&talk, remembered, &|_| Vec::new());
    }
}

#[test]
fn capabilities_after_login_are_remembered() {
    let learned = play(talk("one turn: "), None, &|_| Vec::new()).learned();
    let again = Talk {
        name: "terse this time",
        with: ALICE,
        lines: "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready
                C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
                S: <1> OK in
                = done \"in\" [IMAP4REV1 IDLE]",
    };
    play(&again, learned, &|_| Vec::new());
}

/// STARTTLS leaves nothing to trust, not even what was learned on an earlier connection.
#[test]
fn under_starttls_capabilities_are_asked_on_each_connection() {
    let talk = talk("STARTTLS: ");
    let learned = play(talk, None, &|_| Vec::new()).learned();
    assert!(learned.is_some());
    play(talk, learned, &|_| Vec::new());
}

#[test]
fn a_host_that_loses_bursts_gets_none() {
    let burst = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x
                C: <1> LOGIN \"alice\" \"hunter2\"
                C: g1 SELECT INBOX
                EOF
                = host not reached: it closed the connection in state=login";
    let single = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x
                C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
                S: <1> OK in
                = done \"in\"";
    let with = ("alice", "hunter2", &["behind"][..]);
    let burst = Talk {
        name: "burst",
        with,
        lines: burst,
    };
    let single = Talk {
        name: "single",
        with,
        lines: single,
    };
    let learned = play(&burst, None, &|_| Vec::new()).learned();
    let learned = play(&single, learned, &|_| Vec::new()).learned();
    assert!(learned.is_some_and(|profile| profile.pipelining == Pipelining::Avoided));
}

#[test]
fn credentials_count_as_sent_once_they_are_handed_out() {
    let mut client = Client::new(login(ALICE), None);
    client.receive(b"* OK hi\r\n");
    assert!(matches!(client.step(), HostStep::Write(_)) && !client.credentials_sent());
    assert_eq!(client.state(), "capability");
    assert!(matches!(client.step(), HostStep::Read));
    let tag = Tags::new(SEED).next();
    client.receive(&tag.line("OK"));
    assert!(!client.credentials_sent());
    assert!(matches!(client.step(), HostStep::Write(_)) && client.credentials_sent());
    assert_eq!(client.state(), "login");
}

#[test]
fn a_host_that_never_stops_is_stopped() {
    for chatter in [&b"* 1 EXISTS\r\n"[..], b"* OK x\n", b"x", b"\n"] {
        let mut client = Client::new(login(ALICE), None);
        client.receive(b"* OK [CAPABILITY IMAP4rev1] hi\r\n");
        let mut octets = 0;
        let failure = loop {
            match client.step() {
                HostStep::Failed(failure) => break failure,
                HostStep::Write(_) => {}
                HostStep::Read => {
                    client.receive(&chatter.repeat(100));
                    octets += chatter.len() * 100;
                }
                other => panic!("{other:?}"),
            }
            assert!(octets < 128 * 1024 && client.untagged.len() <= MAX_UNTAGGED);
        };
        assert!(matches!(failure, Failure::HostProtocol { .. }), "{failure}");
    }
}

#[test]
fn tags_differ_by_seed_and_by_command() {
    let seen: std::collections::BTreeSet<Vec<u8>> = (0..50)
        .flat_map(|seed| {
            let mut tags = Tags::new(seed);
            (0..20)
                .map(move |_| tags.next().line(""))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(seen.len(), 1000);
    assert!(
        seen.iter()
            .flatten()
            .all(|b| b.is_ascii_alphanumeric() || b" \r\n".contains(b))
    );
}

mod damaged {
    use proptest::prelude::*;

    use super::*;

    /// A legitimate host's words with octets changed, lost and doubled.
    fn damaged() -> impl Strategy<Value = (usize, Vec<(usize, u8, u8)>)> {
        let edits = proptest::collection::vec((0..400usize, 0..4u8, any::<u8>()), 1..6);
        (0..talks().count(), edits)
    }

    proptest! {
        #[test]
        fn words_never_panic_and_never_wait_for_ever((index, edits) in damaged()) {
            let talk = talks().nth(index).unwrap();
            let mut play = Play {
                client: Client::new(login(talk.with), None),
                written: Vec::new(),
                outcome: None,
            };
            for event in events(talk.lines) {
                match event {
                    Event::Host(mut flight) => {
                        for (place, kind, octet) in &edits {
                            let place = place % flight.len().max(1);
                            match kind {
                                0 => flight.truncate(place),
                                1 => flight.insert(place, *octet),
                                2 => flight.extend_from_within(place..),
                                _ if !flight.is_empty() => flight[place] = *octet,
                                _ => {}
                            }
                        }
                        play.hear(&flight);
                    }
                    Event::Tls if matches!(play.outcome, Some(HostStep::StartTls)) => {
                        play.outcome = None;
                        play.client.tls_started();
                        play.drive();
                    }
                    Event::Answer(answer) if matches!(play.outcome, Some(HostStep::Exchange(_))) => {
                        play.outcome = None;
                        play.client.answer(answer);
                        play.drive();
                    }
                    _ => {}
                }
            }
            if let Some(HostStep::Exchange(_)) = play.outcome {
                play.outcome = None;
            }
            if let Some(HostStep::StartTls) = play.outcome {
                play.outcome = None;
            }
            play.client.closed();
            play.drive();
            prop_assert!(matches!(play.outcome, Some(HostStep::Done(_) | HostStep::Failed(_))));
        }
    }
}
