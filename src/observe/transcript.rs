//! `log.transcript`: the conversation of one user or address in the log, credentials hidden and mail left
//! out, to see what a client that misbehaves says.
//!
//! Lines are `event=transcript from=client|gateway text=…`, in the session's span. Where a user is asked
//! for, lines wait until the client says who it is; it may say so several times before a login is
//! accepted. Without the setting nothing is listened to.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use ipnet::IpNet;

use super::redact::{Answers, Language, Lines, Side};
use crate::net::Tap;
use crate::protocol::Protocol;

/// Lines that wait until it is known whose they are; before a login there are a handful.
const WAITING: usize = 64;

/// Who is listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The user, as the client types the name; any, if none.
    pub user: Option<String>,
    /// The client's address or network; any, if none.
    pub ip: Option<IpNet>,
}

/// Of the process, as the log is.
static WANTED: LazyLock<ArcSwapOption<Transcript>> = LazyLock::new(ArcSwapOption::empty);

/// From now on these are listened to; sessions that have begun go on as they were.
pub(super) fn set(transcript: Option<&Transcript>) {
    WANTED.store(transcript.cloned().map(Arc::new));
}

/// Who listens to a session that begins, if it is one that is asked for.
pub fn tap(protocol: Protocol, client: IpAddr, session: &str) -> Option<Box<dyn Tap>> {
    let wanted = WANTED.load_full()?;
    let recorder = Recorder::new(
        &wanted,
        protocol,
        client,
        session.to_owned(),
        &|from, text, session| {
            tracing::info!(target: "gatepost", event = "transcript", from, session, text);
        },
    )?;
    Some(Box::new(recorder))
}

/// Where lines go: who said it, what, in which session.
type Write = &'static (dyn Fn(&'static str, &str, &str) + Sync);

struct Recorder {
    client: Lines,
    gateway: Lines,
    answers: Answers,
    /// The user that is asked for; any, if none.
    user: Option<String>,
    whose: Whose,
    session: String,
    write: Write,
}

/// Whether it is the one that is asked for.
enum Whose {
    /// It is.
    Theirs,
    /// It is not, or that is not known yet: what was said since the last name.
    Others(Vec<(&'static str, String)>),
}

impl Recorder {
    fn new(
        wanted: &Transcript,
        protocol: Protocol,
        client: IpAddr,
        session: String,
        write: Write,
    ) -> Option<Self> {
        if wanted
            .ip
            .is_some_and(|network| !network.contains(&client.to_canonical()))
        {
            return None;
        }
        let language = match protocol {
            Protocol::Imap => Language::Imap,
            Protocol::Pop3 => Language::Pop3,
        };
        Some(Recorder {
            client: Lines::new(language, Side::Client),
            gateway: Lines::new(language, Side::Gateway),
            answers: Answers::default(),
            user: wanted.user.clone(),
            whose: match &wanted.user {
                None => Whose::Theirs,
                Some(_) => Whose::Others(Vec::new()),
            },
            session,
            write,
        })
    }

    fn hear(&mut self, side: Side, octets: &[u8]) {
        let (lines, from) = match side {
            Side::Client => (&mut self.client, "client"),
            Side::Gateway => (&mut self.gateway, "gateway"),
        };
        let (write, session, answers) = (self.write, &self.session, &mut self.answers);
        // Also of others: a line that was not heard from its start could not be judged.
        match &mut self.whose {
            Whose::Theirs => lines.take(octets, answers, &mut |line| write(from, &line, session)),
            Whose::Others(waiting) => {
                lines.take(octets, answers, &mut |line| {
                    if waiting.len() < WAITING {
                        waiting.push((from, line));
                    }
                });
            }
        }
    }
}

impl Tap for Recorder {
    fn received(&mut self, octets: &[u8]) {
        self.hear(Side::Client, octets);
    }

    fn sent(&mut self, octets: &[u8]) {
        self.hear(Side::Gateway, octets);
    }

    fn secured(&mut self) {
        self.client.forget();
        self.answers.secured();
    }

    fn named(&mut self, user: &str) {
        let Some(wanted) = &self.user else {
            return;
        };
        if !wanted.eq_ignore_ascii_case(user) {
            self.whose = Whose::Others(Vec::new());
            return;
        }
        if let Whose::Others(waiting) = std::mem::replace(&mut self.whose, Whose::Theirs) {
            for (from, line) in waiting {
                (self.write)(from, &line, &self.session);
            }
        }
    }

    fn stays(&self) -> bool {
        matches!(self.whose, Whose::Theirs)
    }
}

#[cfg(test)]
mod tests;
