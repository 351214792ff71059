//! The record layer of a client's TLS connection, under keys that are known: what a client sealed, damaged
//! and cut; and how octets of a handshake are handed on.

use gatepost::tls::stream::known::{Front, Given, Look, Ours, Sealing};

use super::{Choice, Cut};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// Octets of data in all that are worth sealing.
const MOST: usize = 48 * 1024;

/// Records that say nothing, one after the other, that are borne.
const IDLE_MAX: usize = 32;

/// Either of them.
pub(crate) fn opened(octets: &[u8]) {
    let mut choice = Choice(octets);
    let settings = choice.octet();
    let cut = Cut::of(choice.octet());
    match Choice::bit(settings, 7) {
        true => handed_on(choice.0, cut.most()),
        false => sealed(settings, cut, choice),
    }
}

/// What comes out is a beginning of what was sealed, however it is cut; without damage it is all of it.
fn sealed(settings: u8, cut: Cut, mut choice: Choice<'_>) {
    let look = [Look::Inner, Look::Inner, Look::ExplicitNonce, Look::Plain];
    let look = look[usize::from(settings & 3)];
    let limit = [u64::MAX, 1][usize::from(settings >> 2 & 1)];
    let damage: [u8; 4] = std::array::from_fn(|_| choice.octet());
    let mut said = Said::by(look, &mut choice);
    let damaged = damage_by(damage, &mut said.wire);
    let most = cut.most() * [1, 97][usize::from(settings >> 3 & 1)];
    let heard = Heard::of(look, limit, &said.wire, most);
    if let Cut::Compared(_) = cut {
        let whole = Heard::of(look, limit, &said.wire, usize::MAX);
        assert!(whole.data == heard.data && whole.end == heard.end);
        assert_eq!(whole.words, heard.words, "another answer");
    }
    assert!(said.data.starts_with(&heard.data), "nobody has sealed that");
    if !damaged {
        assert!(said.data == heard.data, "some of it did not come");
        assert_eq!(said.end, heard.end);
    }
    if heard.end == End::Open {
        let (declined, owed) = (said.declined, said.owed);
        let told = Told::by(look, heard.words);
        assert!(told.alerts <= 1 && told.data.len() == heard.answered);
        assert!(look == Look::Inner || told.updates == 0);
        if !damaged {
            assert_eq!(told.alerts, usize::from(declined));
            // One answers any number of requests; another is due where a key has done enough.
            let due = usize::from(owed) + usize::from(look == Look::Inner && limit == 1);
            assert_eq!(told.updates, due);
        }
    }
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Closed,
    Broken,
}

/// What a client says, and what is to come of it.
struct Said {
    wire: Vec<u8>,
    data: Vec<u8>,
    end: End,
    idle: usize,
    /// It wanted to shake hands again.
    declined: bool,
    /// It asked for a new key.
    owed: bool,
}

impl Said {
    /// Two octets make a record.
    fn by(look: Look, choice: &mut Choice<'_>) -> Said {
        let mut client = Sealing::client(look).unwrap();
        let mut said = Said {
            wire: Vec::new(),
            data: Vec::new(),
            end: End::Open,
            idle: 0,
            declined: false,
            owed: false,
        };
        while !choice.0.is_empty() && said.data.len() < MOST {
            let (what, of) = (choice.octet(), choice.octet());
            let long = usize::from(of) * [1, 64][usize::from(what >> 7)];
            let mut padded = None;
            let (kind, text) = match what & 7 {
                0 | 1 => (DATA, vec![of; long]),
                2 => {
                    // RFC 8446 §5.4: the kind, and zeros behind it.
                    padded = Some(usize::from(what >> 3 & 15));
                    (DATA, vec![of | 1; long])
                }
                3 => (HANDSHAKE, vec![24, 0, 0, 1, of % 3]),
                4 => (ALERT, vec![1 + (what >> 3 & 1), of]),
                5 => (HANDSHAKE, vec![1, of]),
                6 => (ALERT, vec![1; usize::from(of & 3)]),
                _ => (of | 1, vec![what; usize::from(what >> 3 & 7)]),
            };
            let sealed = match padded {
                Some(zeros) if look == Look::Inner => {
                    let inner = [&text[..], &[kind], &vec![0; zeros]].concat();
                    client.seal(0, &inner, &mut said.wire)
                }
                _ => client.seal(kind, &text, &mut said.wire),
            };
            assert!(sealed);
            said.means(look, kind, &text);
            if kind == HANDSHAKE && text[0] == 24 && look == Look::Inner {
                client.next_key().unwrap();
            }
        }
        said
    }

    /// What a record does to a connection that is open (RFC 8446 §4.6.3, §5, §6; RFC 5246 §7.2, §7.4.1.1).
    fn means(&mut self, look: Look, kind: u8, text: &[u8]) {
        if self.end != End::Open {
            return;
        }
        let inner = look == Look::Inner;
        let idles = match (kind, text) {
            (DATA, []) => true,
            (DATA, text) => {
                self.data.extend_from_slice(text);
                self.idle = 0;
                return;
            }
            (ALERT, [_, 0]) => {
                self.end = End::Closed;
                return;
            }
            (ALERT, [_, 90]) => true,
            (ALERT, [1, _]) => !inner,
            (HANDSHAKE, [24, 0, 0, 1, asked @ (0 | 1)]) if inner => {
                self.owed |= *asked == 1;
                true
            }
            (HANDSHAKE, [1, ..]) if !inner => !std::mem::replace(&mut self.declined, true),
            _ => false,
        };
        self.idle += 1;
        if !idles || self.idle > IDLE_MAX {
            self.end = End::Broken;
        }
    }
}

/// Whether the octets are others now.
fn damage_by([how, high, low, with]: [u8; 4], wire: &mut Vec<u8>) -> bool {
    if wire.is_empty() {
        return false;
    }
    let before = wire.clone();
    let at = usize::from(u16::from_be_bytes([high, low])) % wire.len();
    let end = (at + 1 + usize::from(with)).min(wire.len());
    match how & 7 {
        1 => wire[at] ^= with,
        2 => drop(wire.drain(at..end)),
        3 => wire.insert(at, with),
        4 => wire.extend_from_within(at..end),
        5 => wire.truncate(at),
        6 => {
            let part = wire[at..end].to_vec();
            wire.splice(at..at, part);
        }
        _ => {}
    }
    *wire != before
}

/// What our end makes of it.
struct Heard {
    data: Vec<u8>,
    end: End,
    /// What it says: at once, and with its next data.
    words: Vec<u8>,
    /// Octets of data among those.
    answered: usize,
}

impl Heard {
    fn of(look: Look, limit: u64, wire: &[u8], most: usize) -> Heard {
        let mut ours = Ours::new(look, limit).unwrap();
        let mut heard = Heard {
            data: Vec::new(),
            end: End::Open,
            words: Vec::new(),
            answered: 0,
        };
        let mut held = Vec::new();
        for part in wire.chunks(most) {
            held.extend_from_slice(part);
            let mut at = 0;
            while heard.end == End::Open {
                let rest = &mut held[at..];
                at += match ours.open(rest, &mut heard.words) {
                    Front::More(record) => {
                        assert!(record > rest.len() && record <= look.record_max());
                        break;
                    }
                    Front::Data(text, record) => {
                        assert!(record <= look.record_max() && text.end <= record);
                        heard.data.extend_from_slice(&rest[text]);
                        record
                    }
                    Front::Control(record) => record,
                    Front::End => {
                        heard.end = End::Closed;
                        0
                    }
                    Front::Broken => {
                        heard.end = End::Broken;
                        0
                    }
                };
            }
            held.drain(..at);
        }
        assert!(heard.words.len() <= 64, "an answer grows");
        for text in ["one", "two"] {
            // A key of 1.2 that has done enough is not used any more.
            match ours.seal(text.as_bytes(), &mut heard.words) {
                true => heard.answered += text.len(),
                false => assert!(look != Look::Inner && limit == 1),
            }
        }
        heard
    }
}

/// What the client hears of that.
struct Told {
    data: Vec<u8>,
    alerts: usize,
    updates: usize,
}

impl Told {
    fn by(look: Look, mut words: Vec<u8>) -> Told {
        let mut server = Sealing::server(look).unwrap();
        let mut told = Told {
            data: Vec::new(),
            alerts: 0,
            updates: 0,
        };
        while let [_, _, _, high, low, ..] = words[..] {
            let length = 5 + usize::from(u16::from_be_bytes([high, low]));
            let mut record: Vec<u8> = words.drain(..length).collect();
            match server.open(&mut record).expect("sealed by ours") {
                (DATA, text) => told.data.extend_from_slice(text),
                (ALERT, [1, 100]) => told.alerts += 1,
                (HANDSHAKE, [24, 0, 0, 1, 0]) => {
                    told.updates += 1;
                    server.next_key().unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(words.is_empty());
        told
    }
}

/// Octets of a handshake are given in their order, none beyond the end of a record before what came in
/// it was seen, and all that can be.
fn handed_on(stream: &[u8], most: usize) {
    let mut ends = vec![0];
    while let [_, _, _, high, low, ..] = stream[ends[ends.len() - 1].min(stream.len())..] {
        let record = 5 + usize::from(u16::from_be_bytes([high, low]));
        ends.push(ends[ends.len() - 1] + record);
    }
    let mut given = Given::default();
    let (mut received, mut done, mut at) = (0, 0, 0);
    for part in stream.chunks(most) {
        given.receive(part);
        received += part.len();
        while given.more() {
            let before = std::mem::replace(&mut at, done + given.given().len());
            assert_eq!(given.given(), &stream[done..at]);
            assert!(at > before && at <= received);
            let next = ends.iter().find(|end| **end > before);
            assert!(next.is_some_and(|end| at == received.min(*end)), "{at}");
            // A message may want more than a record; then all of it is done with.
            if ends.contains(&at) && stream[at - 1] & 1 == 0 {
                given.done(at - done);
                done = at;
            }
        }
        assert_eq!(given.kept(), received - done);
    }
    assert!(
        at == received || (received - at < 5 && ends.contains(&at)),
        "{at}"
    );
}
