//! What must come of each action, told without a socket, a core or a task: a table of moods, a few
//! counts, and a clock.

use std::time::Duration;

use proptest::prelude::*;

/// Clients that may be there, users, and as many hosts: user n's mail is at host n.
pub(crate) const CLIENTS: usize = 4;
pub(crate) const USERS: usize = 3;

/// The settings that the reference knows.
pub(crate) const PER_USER: u32 = 2;
pub(crate) const LOGINS: u32 = 3;
pub(crate) const DELAY: Duration = Duration::from_secs(2);
pub(crate) const LOGIN: Duration = Duration::from_secs(60);
pub(crate) const GREETING: Duration = Duration::from_secs(5);
pub(crate) const HOST_LOGIN: Duration = Duration::from_secs(10);
/// How long a slow host takes to refuse a password: more than two failures cost here.
pub(crate) const SLOW: Duration = Duration::from_secs(5);
/// After a login that failed: a host that was not reached is asked twice a second at most.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
pub(crate) const IDLE: Duration = Duration::from_secs(300);

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A client connects, from an address of its own.
    Connect(usize),
    /// It shows a user's name, and a password that is that user's or not.
    LogIn {
        client: usize,
        user: Option<usize>,
        right: bool,
    },
    /// It says NOOP.
    Noop(usize),
    /// It leaves.
    Leave(usize),
    /// A host does otherwise from now on.
    Mood(usize, Mood),
    /// An operator ends a user's sessions.
    Kick(usize),
    /// Nothing, for so many seconds.
    Pass(u64),
}

/// What a host does to those who come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// What reaches it panics.
    Panics,
    /// Nobody listens.
    Away,
    /// It accepts and says nothing.
    Mute,
    /// It greets and says nothing more.
    Stuck,
    /// It closes in place of a greeting.
    Closes,
    /// It says goodbye in place of a greeting.
    Bye,
    /// It speaks another protocol.
    Smtp,
    /// It says that somebody is logged in already.
    Preauth,
    /// It closes in place of an answer to a login.
    ClosesAtLogin,
    /// It is not available to anybody who logs in.
    Unavailable,
    /// It answers a login before that was sent.
    Hasty,
    /// It takes its time to refuse a password.
    Slow,
    /// It takes so long to let its user in, opens a mailbox of one message and says nothing more.
    Drowsy(Duration),
}

/// What a client is told, and after how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// A greeting.
    Greeted,
    /// Logged in: at the host of this user.
    In(usize),
    /// Not, by this code, after this long; and whether the connection was closed behind it.
    No {
        code: &'static str,
        after: Duration,
        closed: bool,
    },
    /// A NOOP was answered by the host of this user.
    Answered(usize),
    /// A NOOP was answered by the gateway: nobody is logged in.
    AnsweredByUs,
    /// Nothing that anybody sees at once.
    Nothing,
    /// These clients were closed.
    Closed(Vec<usize>),
}

/// What is known of a client.
#[derive(Clone, Copy, Debug)]
enum Client {
    Away,
    Talks {
        since: Duration,
        failed: u32,
        wrong: u32,
    },
    In {
        user: usize,
        moved: Duration,
    },
}

#[derive(Debug)]
pub(crate) struct Reference {
    now: Duration,
    clients: [Client; CLIENTS],
    moods: [Mood; USERS],
    /// How long a host took for the last wrong password.
    refusal: Duration,
}

impl Default for Reference {
    fn default() -> Self {
        Reference {
            now: Duration::ZERO,
            clients: [Client::Away; CLIENTS],
            moods: [Mood::Well; USERS],
            refusal: Duration::ZERO,
        }
    }
}

impl Reference {
    /// What comes of an action; none: it cannot happen now.
    pub(crate) fn expects(&mut self, action: &Action) -> Option<Came> {
        match *action {
            Action::Connect(client) => match self.clients[client] {
                Client::Away => {
                    self.clients[client] = Client::Talks {
                        since: self.now,
                        failed: 0,
                        wrong: 0,
                    };
                    Some(Came::Greeted)
                }
                _ => None,
            },
            Action::LogIn {
                client,
                user,
                right,
            } => self.log_in(client, user, right),
            Action::Noop(client) => match &mut self.clients[client] {
                Client::Away => None,
                Client::Talks { .. } => Some(Came::AnsweredByUs),
                Client::In { user, moved } => {
                    *moved = self.now;
                    Some(Came::Answered(*user))
                }
            },
            Action::Leave(client) => match self.clients[client] {
                Client::Away => None,
                _ => {
                    self.clients[client] = Client::Away;
                    Some(Came::Nothing)
                }
            },
            Action::Mood(host, mood) => {
                self.moods[host] = mood;
                Some(Came::Nothing)
            }
            Action::Kick(user) => {
                Some(Came::Closed(self.close(
                    |client, _| matches!(client, Client::In { user: his, .. } if his == user),
                )))
            }
            Action::Pass(seconds) => {
                self.now += Duration::from_secs(seconds);
                Some(Came::Closed(self.overdue()))
            }
        }
    }

    fn close(&mut self, which: impl Fn(Client, Duration) -> bool) -> Vec<usize> {
        let now = self.now;
        let mut closed = Vec::new();
        for (n, client) in self.clients.iter_mut().enumerate() {
            if which(*client, now) {
                *client = Client::Away;
                closed.push(n);
            }
        }
        closed
    }

    /// Whose time is over. Progress does not extend the time for login, and NOOPs do that of a session.
    fn overdue(&mut self) -> Vec<usize> {
        self.close(|client, now| match client {
            Client::Away => false,
            Client::Talks { since, .. } => now >= since + LOGIN,
            Client::In { moved, .. } => now >= moved + IDLE,
        })
    }

    fn log_in(&mut self, client: usize, user: Option<usize>, right: bool) -> Option<Came> {
        let Client::Talks {
            since,
            failed,
            wrong,
        } = self.clients[client]
        else {
            return None;
        };
        let (code, took) = match self.decided(user, right) {
            Ok(user) => {
                self.clients[client] = Client::In {
                    user,
                    moved: self.now,
                };
                return Some(Came::In(user));
            }
            Err(decided) => decided,
        };
        let blame = code == "AUTHENTICATIONFAILED";
        let refusal = match blame && user.is_some() {
            true => took,
            false => self.refusal,
        };
        // Held back from when the password was shown: the host's own time is part of it.
        let after = match blame {
            true => took.max(DELAY * 2_u32.pow(wrong)),
            false => took,
        };
        // Nobody's time for login may end meanwhile, or what is seen first depends on who looks.
        let end = self.now + after;
        let soon = self.clients.iter().any(|other| match *other {
            Client::Away => false,
            Client::Talks { since, .. } => end + 2 * PAUSE >= since + LOGIN,
            Client::In { moved, .. } => end + 2 * PAUSE >= moved + IDLE,
        });
        if soon {
            return None;
        }
        self.now = end + PAUSE;
        self.refusal = refusal;
        let failed = failed + 1;
        let closed = failed >= LOGINS;
        self.clients[client] = match closed {
            true => Client::Away,
            false => Client::Talks {
                since,
                failed,
                wrong: wrong + u32::from(blame),
            },
        };
        Some(Came::No {
            code,
            after,
            closed,
        })
    }

    /// Who is let in, or by which code one is not and how long the host takes to say so.
    fn decided(&self, user: Option<usize>, right: bool) -> Result<usize, (&'static str, Duration)> {
        let at_once = |code| Err((code, Duration::ZERO));
        // Nobody of that name: the same words, the same time.
        let Some(user) = user else {
            return Err(("AUTHENTICATIONFAILED", self.refusal));
        };
        let there = self
            .clients
            .iter()
            .filter(|it| matches!(it, Client::In { user: his, .. } if *his == user));
        // Before the password: it says nothing about it.
        if there.count() >= PER_USER as usize {
            return at_once("LIMIT");
        }
        match self.moods[user] {
            Mood::Well | Mood::Slow if right => Ok(user),
            Mood::Slow => Err(("AUTHENTICATIONFAILED", SLOW)),
            Mood::Well => at_once("AUTHENTICATIONFAILED"),
            Mood::Away | Mood::Closes | Mood::Bye | Mood::ClosesAtLogin | Mood::Unavailable => {
                at_once("UNAVAILABLE")
            }
            Mood::Mute => Err(("UNAVAILABLE", GREETING)),
            // As a POP3 client sees it, who is let in when the maildrop is open.
            Mood::Stuck | Mood::Drowsy(_) => Err(("UNAVAILABLE", HOST_LOGIN)),
            Mood::Smtp | Mood::Preauth | Mood::Hasty => at_once("SERVERBUG"),
            Mood::Panics => unreachable!("no action has it"),
        }
    }
}

/// Any action.
pub(crate) fn action() -> impl Strategy<Value = Action> {
    let client = 0..CLIENTS;
    prop_oneof![
        3 => client.clone().prop_map(Action::Connect),
        6 => (client.clone(), proptest::option::weighted(0.85, 0..USERS), proptest::bool::weighted(0.7))
            .prop_map(|(client, user, right)| Action::LogIn { client, user, right }),
        3 => client.clone().prop_map(Action::Noop),
        1 => client.prop_map(Action::Leave),
        3 => (0..USERS, mood()).prop_map(|(host, mood)| Action::Mood(host, mood)),
        1 => (0..USERS).prop_map(Action::Kick),
        2 => prop_oneof![1..20_u64, 20..400_u64].prop_map(Action::Pass),
    ]
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![
        6 => Just(Mood::Well),
        1 => Just(Mood::Away),
        1 => Just(Mood::Mute),
        1 => Just(Mood::Stuck),
        1 => Just(Mood::Closes),
        1 => Just(Mood::Bye),
        1 => Just(Mood::Smtp),
        1 => Just(Mood::Preauth),
        1 => Just(Mood::ClosesAtLogin),
        1 => Just(Mood::Unavailable),
        1 => Just(Mood::Hasty),
        2 => Just(Mood::Slow),
    ]
}
