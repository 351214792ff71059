//! What both sides say in a relayed session, watched by the observer: IMAP and POP3.
//!
//! An octet 1 begins what the client says, an octet 2 what the host says.

use gatepost::protocol::imap::framing::Framing;
use gatepost::protocol::pop3::observer::Pop3Observer;
use gatepost::protocol::{Farewell, Observer, UnauthenticateOffer, Verdict};

use super::{Choice, Cut, holds};

pub(crate) fn imap(octets: &[u8]) {
    let mut choice = Choice(octets);
    let (settings, cut) = (choice.octet(), choice.octet());
    let capabilities: Vec<String> = ["LITERAL+", "LITERAL-", "IMAP4REV2", "IDLE"]
        .iter()
        .zip(0..)
        .filter(|(_, bit)| Choice::bit(settings, *bit))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let offer = match settings >> 4 & 3 {
        0 => UnauthenticateOffer::No,
        1 => UnauthenticateOffer::Yes,
        _ => UnauthenticateOffer::Unknown,
    };
    let known = Choice::bit(settings, 6).then_some(&capabilities[..]);
    watch(choice.0, Cut::of(cut), || Framing::new("S1", known, offer));
}

pub(crate) fn pop3(octets: &[u8]) {
    let mut choice = Choice(octets);
    let cut = Cut::of(choice.octet());
    watch(choice.0, cut, || Pop3Observer::new("S1".into()));
}

/// The same is seen however it is cut, and nothing is changed but what must not pass.
fn watch<O: Observer>(said: &[u8], cut: Cut, new: impl Fn() -> O) {
    let seen = play(new(), said, cut.most());
    if let Cut::Compared(_) = cut {
        let whole = play(new(), said, usize::MAX);
        assert_eq!(whole, seen, "what is seen depends on how it is cut");
    }
    let host: Vec<u8> = turns(said)
        .filter(|it| it.0 == Side::Host)
        .flat_map(|it| it.1.to_vec())
        .collect();
    assert_eq!(host.len(), seen.to_client.len(), "octets went or came");
    let upper = host.to_ascii_uppercase();
    if !holds(&upper, b"UNAUTHENTICATE") && !holds(&upper, b"COMPRESS=") {
        assert_eq!(host, seen.to_client, "octets were changed");
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Host,
}

/// Who says what, in turn.
fn turns(said: &[u8]) -> impl Iterator<Item = (Side, &[u8])> {
    let mut side = Side::Client;
    said.split_inclusive(|octet| matches!(octet, 1 | 2))
        .map(move |part| {
            let now = side;
            match part.last() {
                Some(1) => side = Side::Client,
                Some(2) => side = Side::Host,
                _ => return (now, part),
            }
            (now, &part[..part.len() - 1])
        })
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    to_client: Vec<u8>,
    /// At which turn the session was ended.
    ended: Option<usize>,
    /// What might be said after each turn.
    goodbyes: Vec<Option<Vec<u8>>>,
}

fn play(mut observer: impl Observer, said: &[u8], most: usize) -> Seen {
    let mut seen = Seen {
        to_client: Vec::new(),
        ended: None,
        goodbyes: Vec::new(),
    };
    for (turn, (side, octets)) in turns(said).enumerate() {
        match side {
            Side::Client if seen.ended.is_some() => {}
            Side::Client => {
                let end = octets
                    .chunks(most)
                    .any(|part| observer.client_to_host(part) == Verdict::End);
                if end {
                    seen.ended = Some(turn);
                }
            }
            Side::Host => {
                for part in octets.chunks(most) {
                    let mut part = part.to_vec();
                    observer.host_to_client(&mut part);
                    seen.to_client.extend(part);
                }
            }
        }
        if seen.ended.is_none() {
            for reason in [Farewell::Shutdown, Farewell::Kicked] {
                let words = observer.goodbye(reason);
                assert!(
                    words
                        .as_ref()
                        .is_none_or(|it| it.is_empty() || it.ends_with(b"\r\n"))
                );
                seen.goodbyes.push(words);
            }
        }
    }
    seen
}
