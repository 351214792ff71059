//! Against a name server that says what it is told to.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::super::{Backend, Config, Surroundings};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// What it answers to each kind of question; and what it was asked, when.
#[derive(Default)]
pub(super) struct Scripted {
    srv: Mutex<Option<Result<Answer<Srv>, String>>>,
    addresses: Mutex<Option<Result<Answer<IpAddr>, String>>>,
    asked: Mutex<Vec<(Instant, String)>>,
}

impl Scripted {
    pub(super) fn says(&self, srv: Result<&[(u16, u16, u16, &str)], &str>) {
        let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
            priority,
            weight,
            port,
            target: target.into(),
        };
        *self.srv.lock().unwrap() = Some(match srv {
            Ok(records) => Ok(Answer {
                records: records.iter().map(record).collect(),
                ttl: 30 * SECOND,
            }),
            Err(cause) => Err(cause.into()),
        });
    }

    pub(super) fn has(&self, ips: &[&str]) {
        *self.addresses.lock().unwrap() = Some(Ok(Answer {
            records: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
            ttl: 30 * SECOND,
        }));
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap();
        asked.drain(..).map(|(_, name)| name).collect()
    }
}

fn scripted<T: Clone>(
    says: &Mutex<Option<Result<Answer<T>, String>>>,
) -> Result<Answer<T>, String> {
    says.lock().unwrap().clone().unwrap_or(Ok(Answer {
        records: Vec::new(),
        ttl: 30 * SECOND,
    }))
}

impl Lookup for Scripted {
    fn srv(&self, name: String) -> Looking<'_, Srv> {
        self.asked.lock().unwrap().push((Instant::now(), name));
        Box::pin(async { scripted(&self.srv) })
    }

    fn addresses(&self, name: String) -> Looking<'_, IpAddr> {
        self.asked.lock().unwrap().push((Instant::now(), name));
        Box::pin(async { scripted(&self.addresses) })
    }
}

fn by(protocol: Protocol, security: Security, port: u16) -> Discover {
    Discover {
        protocol,
        security,
        name: "store.mail.svc".into(),
        port,
    }
}

pub(super) fn imap() -> Discover {
    by(Protocol::Imap, Security::Clear, 143)
}

/// A backend that follows the name, and is not probed.
pub(super) fn following(lookup: &Arc<Scripted>, settings: Discover) -> Arc<Backend> {
    let config = Config {
        discover: Some(settings),
        health: None,
        ..Config::new("b", Vec::new())
    };
    let backend = Arc::new(Backend::new(config, Surroundings::default()).unwrap());
    backend.start_asking(lookup.clone());
    backend
}

pub(super) fn names(backend: &Backend) -> String {
    let hosts = backend.hosts();
    let names: Vec<String> = (hosts.iter())
        .map(|host| format!("{}*{}", host.name(), host.weight()))
        .collect();
    names.join(" ")
}

/// Lets the next lookup come and be taken.
pub(super) async fn next() {
    tokio::time::sleep(40 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn records_become_hosts() {
    for (records, want) in [
        (
            &[
                (0, 33, 143, "store-1.Store.mail.svc"),
                (0, 33, 143, "store-0.store.mail.svc"),
            ][..],
            "store-0.store.mail.svc*1 store-1.store.mail.svc*1",
        ),
        // Shares, the last resort, a port of its own.
        (
            &[(10, 20, 143, "a"), (10, 60, 1143, "b"), (20, 5, 143, "c")],
            "a*1 b:1143*3 c*0",
        ),
        (&[(1, 0, 143, "a"), (1, 0, 143, "b")], "a*1 b*1"),
        (&[(1, 0, 143, "a"), (1, 5, 143, "b")], "a*0 b*1"),
        (&[(1, 1, 143, "a"), (1, 1, 143, "A")], "a*1"),
    ] {
        let lookup = Arc::new(Scripted::default());
        lookup.says(Ok(records));
        let backend = following(&lookup, imap());
        next().await;
        assert_eq!(names(&backend), want);
    }
}

#[tokio::test(start_paused = true)]
async fn the_scheme_names_the_service() {
    for (settings, asked) in [
        (imap(), &["_imap._tcp.store.mail.svc", "store.mail.svc"][..]),
        (
            by(Protocol::Imap, Security::StartTls, 143),
            &["_imap._tcp.store.mail.svc", "store.mail.svc"],
        ),
        (
            by(Protocol::Pop3, Security::Clear, 110),
            &["_pop3._tcp.store.mail.svc", "store.mail.svc"],
        ),
        // A port of one's own is of addresses: records bring their ports.
        (
            by(Protocol::Imap, Security::Clear, 10143),
            &["store.mail.svc"],
        ),
    ] {
        let lookup = Arc::new(Scripted::default());
        lookup.has(&["192.0.2.1", "2001:db8::1"]);
        let backend = following(&lookup, settings.clone());
        tokio::time::sleep(SECOND).await;
        assert_eq!(lookup.asked(), asked);
        let want = match settings.port {
            10143 => "192.0.2.1:10143*1 [2001:db8::1]:10143*1",
            _ => "192.0.2.1*1 [2001:db8::1]*1",
        };
        assert_eq!(names(&backend), want);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_changes_nothing() {
    let lookup = Arc::new(Scripted::default());
    lookup.says(Ok(&[(0, 1, 143, "a"), (0, 1, 143, "b")]));
    // Were they believed, every user would move.
    lookup.has(&["192.0.2.1"]);
    let backend = following(&lookup, imap());
    next().await;
    let many: Vec<String> = (0..=MOST_HOSTS).map(|n| format!("h{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (0, 1, 143, name.as_str())).collect();
    for bad in [
        Err("the server is away"),
        Ok(&[][..]),
        Ok(&[(0, 0, 0, "")]),
        Ok(&[(0, 1, 143, "c"), (0, 1, 143, "sto\rre")]),
        Ok(&[(0, 1, 143, "a b")]),
        Ok(&[(0, 1, 143, "a..b")]),
        Ok(&[(0, 1, 143, "\\a.b")]),
        Ok(&[(0, 1, 143, "b\u{fc}cher")]),
        Ok(many.as_slice()),
    ] {
        lookup.says(bad);
        next().await;
        assert_eq!(names(&backend), "a*1 b*1", "{bad:?}");
    }
    lookup.says(Ok(&[(0, 1, 143, "c")]));
    next().await;
    assert_eq!(names(&backend), "c*1");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stays_or_returns_is_the_same() {
    let lookup = Arc::new(Scripted::default());
    lookup.says(Ok(&[(0, 1, 143, "a"), (0, 1, 143, "b")]));
    let backend = following(&lookup, imap());
    next().await;
    let (a, b) = (backend.host("a").unwrap(), backend.host("b").unwrap());
    let _session = b.sit().unwrap();
    a.set_weight(7);
    lookup.says(Ok(&[(0, 1, 143, "a"), (0, 1, 143, "c")]));
    next().await;
    assert_eq!(names(&backend), "a*7 c*1");
    assert!(Arc::ptr_eq(&a, &backend.host("a").unwrap()));
    // Its sessions run on.
    assert_eq!(b.sessions(), 1);
    lookup.says(Ok(&[(0, 2, 143, "a"), (0, 1, 143, "b")]));
    next().await;
    assert_eq!(names(&backend), "a*2 b*1");
    assert!(Arc::ptr_eq(&b, &backend.host("b").unwrap()));
}

#[tokio::test(start_paused = true)]
async fn records_are_believed_as_long_as_they_say() {
    for (ttl, least, most) in [(0, 0.9, 1.1), (30, 27.0, 33.0), (86_400, 540.0, 660.0)] {
        let lookup = Arc::new(Scripted::default());
        *lookup.srv.lock().unwrap() = Some(Ok(Answer {
            records: vec![Srv {
                priority: 0,
                weight: 1,
                port: 143,
                target: b"a".into(),
            }],
            ttl: ttl * SECOND,
        }));
        let _backend = following(&lookup, imap());
        tokio::time::sleep(2000 * SECOND).await;
        let asked = lookup.asked.lock().unwrap();
        for (one, next) in asked.iter().zip(asked.iter().skip(1)) {
            let pause = (next.0 - one.0).as_secs_f64();
            assert!((least..=most + 0.01).contains(&pause), "{ttl}: {pause}");
        }
        assert!(asked.len() > 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_name_is_asked_less_and_less_often() {
    let lookup = Arc::new(Scripted::default());
    lookup.says(Err("away"));
    let backend = following(&lookup, imap());
    tokio::time::sleep(600 * SECOND).await;
    let asked = lookup.asked().len();
    assert!((22..=30).contains(&asked), "{asked}");
    drop(backend);
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!(lookup.asked().len(), 0);
}
