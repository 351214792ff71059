//! What both sides say in a relayed session, watched by the observer: IMAP and POP3.
//!
//! An octet 1 begins what the client says, an octet 2 what the host says. Of IMAP, what passed may be read
//! by a host of `readers` instead, which answers by itself: an octet 2 then lets its answers come.

use gatepost::protocol::imap::framing::Framing;
use gatepost::protocol::pop3::observer::Pop3Observer;
use gatepost::protocol::{Farewell, Observer, UnauthenticateOffer, Verdict};

use super::{Choice, Cut, holds};

mod readers;

use readers::{Reader, Way};

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
    if Choice::bit(settings, 7) {
        let offers = |bit| known.is_some() && Choice::bit(settings, bit);
        let unasked = match (offers(0), offers(1) || offers(2)) {
            (true, _) => u64::MAX,
            (false, true) => 4096,
            (false, false) => 0,
        };
        read(
            Framing::new("S1", known, offer),
            choice,
            cut,
            offer,
            unasked,
        );
        return;
    }
    let seen = watch(choice.0, Cut::of(cut), || Framing::new("S1", known, offer));
    mail_stays_mail(choice.0, &seen);
}

/// However a host reads what passes, it does nothing that must not pass.
fn read(
    mut observer: Framing,
    mut choice: Choice<'_>,
    cut: u8,
    offer: UnauthenticateOffer,
    unasked: u64,
) {
    let how = choice.octet();
    let way = match how & 3 {
        0 => Way::Strict,
        1 => Way::Line,
        _ => Way::Anew,
    };
    let mut reader = Reader::new(way, unasked);
    // It reads what comes as it comes, or once it has said what it had to.
    let (at_once, most) = (Choice::bit(how, 2), Cut::of(cut).most());
    let mut unread = Vec::new();
    for (side, octets) in turns(choice.0) {
        match side {
            Side::Client => {
                for part in octets.chunks(most) {
                    if observer.client_to_host(part) == Verdict::End {
                        return;
                    }
                    unread.extend_from_slice(part);
                    if at_once {
                        reader.read(&std::mem::take(&mut unread));
                    }
                }
            }
            Side::Host => {
                reader.read(&std::mem::take(&mut unread));
                observer.host_to_client(&mut std::mem::take(&mut reader.says));
            }
        }
    }
    reader.read(&unread);
    let may_hide = offer != UnauthenticateOffer::No;
    assert!(
        !(may_hide && reader.done),
        "the host did what must not pass"
    );
}

/// What was changed stands in a list of capabilities and in no literal, and no BYE stands in one either.
fn mail_stays_mail(said: &[u8], seen: &Seen) {
    let (mut place, mut at) = (Place::default(), 0);
    let mut goodbyes = seen.goodbyes.iter();
    for (side, octets) in turns(said) {
        if side == Side::Host {
            for octet in octets {
                let within = place.read(*octet);
                let same = seen.to_client.get(at) == Some(octet);
                assert!(same || within == Within::List, "mail was changed at {at}");
                at += 1;
            }
        }
        for _ in 0..2 {
            // None after the turn that ended it.
            let words = goodbyes.next().and_then(Option::as_ref);
            assert!(
                words.is_none_or(|it| it.is_empty() || place.between()),
                "a BYE within a response"
            );
        }
    }
}

/// Where in what the host says an octet stands, as RFC 9051 §9 has it and in no hurry.
#[derive(Default)]
struct Place {
    /// The response so far, without its literals.
    response: Vec<u8>,
    line: usize,
    literal: u64,
}

#[derive(PartialEq, Eq)]
enum Within {
    List,
    Other,
}

impl Place {
    fn read(&mut self, octet: u8) -> Within {
        if self.literal > 0 {
            self.literal -= 1;
            return Within::Other;
        }
        self.response.push(octet);
        let upper = self.response.to_ascii_uppercase();
        let within = match holds(&upper, b"CAPABILITY") {
            true => Within::List,
            false => Within::Other,
        };
        if octet == b'\n' {
            match self.announced() {
                Some(octets) => {
                    self.literal = octets;
                    self.line = self.response.len();
                }
                None => *self = Place::default(),
            }
        }
        within
    }

    /// The literal that the line announces which is at its end.
    fn announced(&self) -> Option<u64> {
        let text = String::from_utf8_lossy(self.response.trim_ascii_start());
        let mut words = text.strip_prefix("* ")?.split([' ', '\r', '\n']);
        let first = words.find(|word| !word.is_empty())?.to_ascii_uppercase();
        if ["OK", "NO", "BAD", "BYE", "PREAUTH"].contains(&first.as_str()) {
            return None;
        }
        let line = String::from_utf8_lossy(&self.response[self.line..]);
        let line = line.strip_suffix('\n')?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (_, digits) = line.strip_suffix('}')?.rsplit_once('{')?;
        let all = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
        all.then(|| digits.parse().unwrap_or(u64::MAX))
    }

    fn between(&self) -> bool {
        self.literal == 0 && self.response.iter().all(|it| *it == b'\r')
    }
}

pub(crate) fn pop3(octets: &[u8]) {
    let mut choice = Choice(octets);
    let cut = Cut::of(choice.octet());
    watch(choice.0, cut, || Pop3Observer::new("S1".into()));
}

/// The same is seen however it is cut, and nothing is changed but what must not pass.
fn watch<O: Observer>(said: &[u8], cut: Cut, new: impl Fn() -> O) -> Seen {
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
    seen
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
