//! A wire to a real host that counts exchanges: what the host says is held back until the gateway has
//! sent all the commands of an exchange. A gateway that waits for an answer in the middle of one
//! waits for ever.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use super::scripted::host;

/// The commands of one exchange, by how they begin behind their tags.
pub(crate) type Exchange = &'static [&'static str];

/// A wire.
pub(crate) struct Exchanges {
    pub(crate) port: u16,
    /// Those of the next connection that logs in.
    next: Arc<Mutex<&'static [Exchange]>>,
    /// The commands of all logged-in connections, tags left out.
    seen: Arc<Mutex<Vec<String>>>,
}

/// How far a connection is: commands that were sent, and after how many of them an exchange is whole.
#[derive(Default)]
struct Sent {
    commands: Mutex<(usize, Vec<usize>)>,
    more: Condvar,
}

impl Exchanges {
    /// A wire to a port of this machine.
    pub(crate) fn to(port: u16) -> Exchanges {
        let next: Arc<Mutex<&'static [Exchange]>> = Arc::default();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (plan, commands) = (Arc::clone(&next), Arc::clone(&seen));
        let port = host(move |gateway| play(gateway, port, &plan, &commands));
        Exchanges { port, next, seen }
    }

    /// The next login comes with these exchanges.
    pub(crate) fn expect(&self, exchanges: &'static [Exchange]) {
        *self.next.lock().unwrap() = exchanges;
    }

    /// What was asked since the last time, without the goodbye.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.retain(|command| command != "LOGOUT");
        seen
    }
}

fn play(
    mut gateway: TcpStream,
    port: u16,
    plan: &Mutex<&'static [Exchange]>,
    seen: &Mutex<Vec<String>>,
) {
    let mut to_host = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut from_host = BufReader::new(to_host.try_clone().unwrap());
    let mut greeting = Vec::new();
    let _ = from_host.read_until(b'\n', &mut greeting);
    if gateway.write_all(&greeting).is_err() {
        return;
    }
    let sent = Arc::new(Sent::default());
    let mut from_gateway = BufReader::new(gateway.try_clone().unwrap());
    let back = std::thread::spawn({
        let sent = Arc::clone(&sent);
        move || {
            let mut octets = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = from_host.read(&mut octets) {
                let commands = sent.commands.lock().unwrap();
                let whole = sent
                    .more
                    .wait_while(commands, |(sent, whole)| {
                        whole.last().is_some_and(|last| *sent < *last) && !whole.contains(sent)
                    })
                    .unwrap();
                drop(whole);
                if gateway.write_all(&octets[..read]).is_err() {
                    break;
                }
            }
            let _ = gateway.shutdown(Shutdown::Both);
        }
    });
    let mut awaited: Vec<&str> = Vec::new();
    let mut logged_in = false;
    while let Some(line) = command(&mut from_gateway) {
        let command = line.trim_end().split_once(' ').map_or("", |(_, it)| it);
        let mut commands = sent.commands.lock().unwrap();
        let logs_in = ["ID", "LOGIN", "AUTHENTICATE"];
        if commands.0 == 0 && logs_in.iter().any(|verb| command.starts_with(verb)) {
            logged_in = true;
            let exchanges = std::mem::take(&mut *plan.lock().unwrap());
            awaited = exchanges.concat();
            commands.1 = (exchanges.iter())
                .scan(0, |sum, exchange| {
                    *sum += exchange.len();
                    Some(*sum)
                })
                .collect();
        }
        if let Some(wanted) = awaited.get(commands.0) {
            assert!(command.starts_with(wanted), "{command}: not {wanted}");
        }
        commands.0 += 1;
        if logged_in {
            // Not the password.
            let logs_in =
                ["LOGIN", "AUTHENTICATE"].map(|verb| command.starts_with(verb).then_some(verb));
            let shown = logs_in.into_iter().flatten().next().unwrap_or(command);
            seen.lock().unwrap().push(shown.to_owned());
        }
        drop(commands);
        sent.more.notify_all();
        if to_host.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    let _ = to_host.shutdown(Shutdown::Write);
    let _ = back.join();
}

/// One command with the literals in it, which are not waited for (RFC 7888).
fn command(from: &mut impl BufRead) -> Option<String> {
    let mut octets = Vec::new();
    loop {
        let before = octets.len();
        if from.read_until(b'\n', &mut octets).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&octets[before..]);
        let literal = line
            .trim_end()
            .strip_suffix("+}")
            .and_then(|it| it.rsplit_once('{'));
        let Some(length) = literal.and_then(|(_, length)| length.parse().ok()) else {
            return Some(String::from_utf8_lossy(&octets).into_owned());
        };
        from.take(length).read_to_end(&mut octets).ok()?;
    }
}
