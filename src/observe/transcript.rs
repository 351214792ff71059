//! `log.transcript`: the conversation of one user or address in the log, credentials hidden and mail left
//! out, to see what a client that misbehaves says.
//!
//! Lines are `event=transcript from=client|gateway text=…`, in the session's span. Where a user is asked
//! for, lines wait until the client says who it is. Without the setting nothing is listened to.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use ipnet::IpNet;

use super::redact::{Language, Lines, Side};
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
    whose: Whose,
    session: String,
    write: Write,
}

/// Whether it is the one that is asked for.
enum Whose {
    /// It is.
    Theirs,
    /// It is not known yet; what was said meanwhile.
    Unknown(String, Vec<(&'static str, String)>),
    /// It is not.
    Others,
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
            whose: match &wanted.user {
                None => Whose::Theirs,
                Some(user) => Whose::Unknown(user.clone(), Vec::new()),
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
        let (write, session) = (self.write, &self.session);
        match &mut self.whose {
            Whose::Others => {}
            Whose::Theirs => lines.take(octets, &mut |line| write(from, &line, session)),
            Whose::Unknown(_, waiting) => {
                lines.take(octets, &mut |line| {
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

    fn named(&mut self, user: &str) {
        let Whose::Unknown(wanted, waiting) = &mut self.whose else {
            return;
        };
        if !wanted.eq_ignore_ascii_case(user) {
            self.whose = Whose::Others;
            return;
        }
        for (from, line) in waiting.drain(..) {
            (self.write)(from, &line, &self.session);
        }
        self.whose = Whose::Theirs;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn heard(wanted: &Transcript, client: &str, act: impl FnOnce(&mut Recorder)) -> Vec<String> {
        static LOCK: Mutex<()> = Mutex::new(());
        static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let _alone = LOCK.lock().unwrap();
        HEARD.lock().unwrap().clear();
        let write: Write = &|from, text, session| {
            HEARD
                .lock()
                .unwrap()
                .push(format!("{session} {from}: {text}"));
        };
        let client = client.parse().unwrap();
        if let Some(mut recorder) =
            Recorder::new(wanted, Protocol::Imap, client, "s1".into(), write)
        {
            act(&mut recorder);
        }
        HEARD.lock().unwrap().clone()
    }

    fn talk(name: &'static str) -> impl FnOnce(&mut Recorder) {
        move |recorder| {
            recorder.sent(b"* OK ready\r\n");
            recorder.received(b"a LOGIN x S3CRET\r\n");
            recorder.named(name);
            recorder.sent(b"a OK in\r\n");
        }
    }

    const ALL: [&str; 3] = [
        "s1 gateway: * OK ready",
        "s1 client: a LOGIN [hidden]",
        "s1 gateway: a OK in",
    ];

    #[test]
    fn one_user_or_one_address_is_heard() {
        let user = |user: &str| Transcript {
            user: Some(user.into()),
            ip: None,
        };
        let ip = |ip: &str| Transcript {
            user: None,
            ip: Some(ip.parse().unwrap()),
        };
        assert_eq!(
            heard(
                &user("Alice@example.com"),
                "192.0.2.1",
                talk("alice@EXAMPLE.com")
            ),
            ALL
        );
        assert_eq!(heard(&user("bob"), "192.0.2.1", talk("alice")), [""; 0]);
        assert_eq!(heard(&ip("192.0.2.1/32"), "192.0.2.1", talk("bob")), ALL);
        assert_eq!(
            heard(&ip("192.0.2.0/24"), "::ffff:192.0.2.9", talk("bob")),
            ALL
        );
        assert_eq!(
            heard(&ip("192.0.2.1/32"), "192.0.2.2", talk("bob")),
            [""; 0]
        );
        let both = Transcript {
            user: Some("bob".into()),
            ..ip("2001:db8::/32")
        };
        assert_eq!(heard(&both, "2001:db8::1", talk("bob")), ALL);
        assert_eq!(heard(&both, "2001:db8::1", talk("eve")), [""; 0]);
    }

    #[test]
    fn who_never_says_a_name_fills_no_memory() {
        let wanted = Transcript {
            user: Some("bob".into()),
            ip: None,
        };
        let heard = heard(&wanted, "::1", |recorder| {
            for _ in 0..1000 {
                recorder.received(b"a NOOP\r\n");
            }
            recorder.named("bob");
        });
        assert_eq!(heard.len(), WAITING);
    }
}
