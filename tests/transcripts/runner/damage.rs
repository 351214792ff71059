//! Plays a transcript's client with one octet changed, left out or put in, at every place.
//!
//! Nobody knows what the right answer is then. What must hold: no panic, at most 64 KiB held, and an
//! end of the steps in `Read` or `Close`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gatepost::protocol::sasl;
use gatepost::protocol::{Failure, READ_CHUNK, Step, Welcome};

use crate::play::{Random, server};
use crate::script::{Event, Script};

/// The promise of a connection before login.
const MOST_HELD: usize = gatepost::protocol::HELD_MAX;

/// How many octets are played for a transcript, about: of a long one only some places are tried.
const MANY: usize = 80_000;

/// Octets that mean something to a grammar.
const TELLING: &[u8] = b"\r\n\0 \"\\{}()+*=[]0\xff";

pub(crate) fn everywhere(script: &Script) {
    let whole: Vec<u8> = script
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Client(octets) => Some(&octets[..]),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    let mut random = Random(whole.len() as u64);
    let step = (whole.len() * whole.len()).div_ceil(MANY).max(1);
    for at in (0..whole.len()).step_by(step) {
        let telling = TELLING[random.below(TELLING.len())];
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << random.below(8);
        let mut replaced = whole.clone();
        replaced[at] = telling;
        let mut removed = whole.clone();
        removed.remove(at);
        let mut inserted = whole.clone();
        inserted.insert(at, telling);
        let mut doubled = whole.clone();
        doubled.splice(at..at, whole[at.saturating_sub(30)..at].to_vec());
        for (what, octets) in [
            ("flipped", flipped),
            ("replaced", replaced),
            ("removed", removed),
            ("inserted", inserted),
            ("doubled", doubled),
        ] {
            let most = [1, 7, 100, READ_CHUNK][random.below(4)];
            let survived = catch_unwind(AssertUnwindSafe(|| run(script, &octets, most)));
            let shown = octets[at.saturating_sub(40)..(at + 40).min(octets.len())].escape_ascii();
            match survived {
                Ok(Ok(())) => {}
                Ok(Err(error)) => panic!("{}: {what} at {at} (…{shown}…): {error}", script.name),
                Err(_) => panic!("{}: {what} at {at} (…{shown}…): panic", script.name),
            }
        }
    }
}

/// Gives the server all of it, saying no to most logins and yes to the fourth.
fn run(script: &Script, octets: &[u8], most: usize) -> Result<(), String> {
    let mut server = server(script.protocol, script.settings.clone());
    let mut parts = octets.chunks(most);
    let mut logins = 0;
    let mut steps = 0;
    loop {
        steps += 1;
        if steps > 20 * octets.len() + 1000 {
            return Err("it goes on for ever".into());
        }
        match server.step() {
            Step::Read => match parts.next() {
                Some(part) => server.receive(part),
                None => return Ok(()),
            },
            Step::Write(octets) if octets.is_empty() => return Err("nothing to write".into()),
            Step::Write(octets) if octets.len() > MOST_HELD => return Err("too much said".into()),
            Step::Write(_) => {}
            Step::StartTls => server.tls_started(),
            Step::Login(login) => {
                let name = login.user.as_str();
                if name.is_empty() || name.chars().any(char::is_control) {
                    return Err("a name that cannot be".into());
                }
                logins += 1;
                if logins % 3 == 1 && login.credentials.relayed().is_some() {
                    server.challenge(&sasl::Message::from_base64(b"eyJzIjoiNDAwIn0=").unwrap());
                    continue;
                }
                if logins == 4 {
                    server.accept(Welcome::default());
                    return Ok(());
                }
                server.reject(&Failure::Credentials);
            }
            Step::Exchange(_) => server.reject(&Failure::Credentials),
            Step::Close(_) => return Ok(()),
        }
        if server.held() > MOST_HELD {
            return Err(format!("it holds {} octets", server.held()));
        }
    }
}
