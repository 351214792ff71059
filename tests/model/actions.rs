//! What clients do and what comes of it, as the reference has it: a script's actions on whole sessions.

use std::time::Duration;

use gatepost::net::{Peer, Stream};
use gatepost::protocol::{Farewell, Protocol};
use gatepost::session::Arrival;
use gatepost::session::registry::Filter;
use tokio::io::{AsyncWriteExt, BufReader, duplex};
use tokio::time::{Instant, timeout};

use super::hosts::line;
use super::real::{Real, name};
use super::reference::{Action, CLIENTS, Came, PAUSE};

impl Real {
    pub(crate) fn does(&mut self, action: &Action) -> Came {
        match *action {
            Action::Connect(client) => self.connect(client),
            Action::LogIn {
                client,
                user,
                right,
            } => self.log_in(client, user, right),
            Action::Noop(client) => self.noop(client),
            Action::Leave(client) => {
                self.clients[client] = None;
                self.settle();
                Came::Nothing
            }
            Action::Mood(host, mood) => {
                self.hosts.moods.lock().unwrap()[host] = mood;
                Came::Nothing
            }
            Action::Kick(user) => {
                let filter = Filter {
                    user: Some(name(Some(user)).to_ascii_lowercase()),
                    ..Filter::default()
                };
                self.gateway.registry.end(&filter, Farewell::Kicked);
                Came::Closed(self.closed())
            }
            Action::Pass(seconds) => {
                self.pass(Duration::from_secs(seconds));
                Came::Closed(self.closed())
            }
        }
    }

    fn connect(&mut self, client: usize) -> Came {
        self.visits += 1;
        let [high, low] = self.visits.to_be_bytes();
        let (ours, theirs) = duplex(64 * 1024);
        let (front, gateway) = (self.front.clone(), self.gateway.clone());
        let mut stream = BufReader::new(ours);
        let greeting = self.runtime.block_on(async {
            let address = std::net::Ipv4Addr::new(10, 0, high, low).into();
            let place = gateway.tables.connect(&gateway.limits, address).unwrap();
            let arrival = Arrival {
                stream: Stream::Memory(theirs),
                peer: Peer {
                    client: (address, 4711).into(),
                    local: ([127, 0, 0, 1], 143).into(),
                },
                place,
                accepted: Instant::now(),
                greeted: None,
            };
            tokio::spawn(gatepost::session::run(arrival, front, gateway));
            line(&mut stream).await
        });
        let ready = match self.front.protocol {
            Protocol::Imap => "* OK ",
            Protocol::Pop3 => "+OK ",
        };
        assert!(greeting.starts_with(ready), "{greeting}");
        self.clients[client] = Some(stream);
        Came::Greeted
    }

    fn log_in(&mut self, client: usize, user: Option<usize>, right: bool) -> Came {
        let mut stream = self.clients[client].take().unwrap();
        self.passwords += 1;
        let password = match (right, user) {
            (true, Some(user)) => format!("secret-of-{user}-"),
            (_, user) => format!("wrong{}-of-{}-", self.passwords, user.unwrap_or(9)),
        };
        let command = format!("a LOGIN {} {password}\r\n", name(user));
        let begun = self.runtime.block_on(async { Instant::now() });
        let (said, after) = self.runtime.block_on(async {
            stream.write_all(command.as_bytes()).await.unwrap();
            let mut said = line(&mut stream).await;
            while said.starts_with("* CAPABILITY ") {
                said = line(&mut stream).await;
            }
            (said, begun.elapsed())
        });
        if said.starts_with("a OK") {
            self.clients[client] = Some(stream);
            // Who is at the other end tells.
            let Came::Answered(host) = self.noop(client) else {
                panic!("nobody answers")
            };
            return Came::In(host);
        }
        let code = ["AUTHENTICATIONFAILED", "UNAVAILABLE", "LIMIT", "SERVERBUG"]
            .into_iter()
            .find(|code| said.starts_with(&format!("a NO [{code}] ")))
            .unwrap_or_else(|| panic!("{said}"));
        let (_, id) = said.rsplit_once(" (").expect("an id");
        assert!(id.ends_with(")\r\n"), "{said}");
        assert!(
            !said.contains("host") && !said.contains("10.0."),
            "it tells of hosts: {said}"
        );
        let closed = self.runtime.block_on(async {
            match timeout(Duration::from_millis(1), line(&mut stream)).await {
                Ok(text) => text.starts_with("* BYE ") || text.is_empty(),
                Err(_) => false,
            }
        });
        if !closed {
            self.clients[client] = Some(stream);
        }
        self.pass(PAUSE);
        Came::No {
            code,
            after: whole(after),
            closed,
        }
    }

    fn noop(&mut self, client: usize) -> Came {
        let mut stream = self.clients[client].take().unwrap();
        let (first, second) = self.runtime.block_on(async {
            stream.write_all(b"n NOOP\r\n").await.unwrap();
            let first = line(&mut stream).await;
            match first.starts_with("n ") {
                true => (first, String::new()),
                false => {
                    let second = line(&mut stream).await;
                    (first, second)
                }
            }
        });
        self.clients[client] = Some(stream);
        if first.starts_with("n OK") {
            return Came::AnsweredByUs;
        }
        assert!(second.starts_with("n OK"), "{first} {second}");
        let host = first
            .trim_end()
            .strip_prefix("* OK host ")
            .unwrap_or_else(|| panic!("{first}"));
        Came::Answered(host.parse().unwrap())
    }

    /// The clients that were closed meanwhile.
    fn closed(&mut self) -> Vec<usize> {
        self.settle();
        let mut closed = Vec::new();
        for n in 0..CLIENTS {
            let Some(mut stream) = self.clients[n].take() else {
                continue;
            };
            let over = self.runtime.block_on(async {
                match timeout(Duration::from_micros(1), line(&mut stream)).await {
                    Ok(text) => text.starts_with("* BYE ") || text.is_empty(),
                    Err(_) => false,
                }
            });
            match over {
                true => closed.push(n),
                false => self.clients[n] = Some(stream),
            }
        }
        closed
    }
}

/// What looking costs in time is no part of an answer's.
fn whole(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}
