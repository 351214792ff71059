//! What is told of one name: the order of hosts, what was ordered, where sessions are, who is asked.

use super::*;
use crate::backend::balance;
use crate::backend::config::{Endpoint, Failover, HostConfig, Security, Target};
use crate::route::{Config, lookup};
use crate::state::{Change, Drain, Hold, Move, Owner};

fn host(name: &str, protocol: Protocol, weight: u32) -> HostConfig {
    let endpoint = Endpoint {
        protocol,
        security: Security::Clear,
        target: Target::Demo,
    };
    HostConfig {
        name: name.into(),
        imap: (protocol == Protocol::Imap).then(|| endpoint.clone()),
        pop3: (protocol == Protocol::Pop3).then_some(endpoint),
        weight,
    }
}

/// Explains bob@x, who is `cluster`'s by the map, with what was ordered and where live sessions are.
fn told_by(
    protocol: Protocol,
    change: impl FnOnce(&mut Backend),
    orders: &Orders,
    down: &str,
    at: Option<Place>,
) -> Explanation {
    let hosts = ["a", "b", "c"].map(|name| host(name, Protocol::Imap, 1));
    let mut backend = Backend::new("cluster", hosts.to_vec());
    change(&mut backend);
    let other = Backend::new("other", vec![host("z", Protocol::Imap, 1)]);
    let backends = BTreeMap::from([("cluster".to_owned(), backend), ("other".to_owned(), other)]);
    let router = Router::new(Config::of(&[("@x", "cluster")]), []);
    let user = UserName::new(b"Bob@X").unwrap();
    let ask = Ask::of(&user, protocol);
    let known = Known {
        orders,
        pinned: &|_| at.clone(),
        hosts: &|backend, _| {
            let mut hosts = backend.hosts_by(orders);
            for host in hosts.iter_mut().filter(|host| host.config.name == down) {
                (host.state, host.down) = ("down", Some("refused".into()));
            }
            hosts
        },
    };
    explain(&router, &backends, ask, &known)
}

fn told(protocol: Protocol, change: impl FnOnce(&mut Backend), down: &str) -> Explanation {
    told_by(protocol, change, &Orders::default(), down, None)
}

fn bob() -> Owner {
    Owner::new("cluster", &UserName::new(b"bob@x").unwrap())
}

#[test]
fn orders_are_told_and_followed() {
    let mut orders = Orders::default();
    let own = told(Protocol::Imap, |_| {}, "").host.unwrap();
    let place = Place::new("cluster", &own);
    let drain = Drain {
        since: 0,
        end: None,
    };
    orders.apply(Change::Drain(place.clone(), drain));
    orders.apply(Change::Weight(Place::new("cluster", "a"), 0));
    let drained = told_by(Protocol::Imap, |_| {}, &orders, "", None);
    assert_ne!(drained.host.as_ref(), Some(&own));
    let of = |told: &Explanation, name: &str| told.hosts.iter().find(|h| h.name == name).cloned();
    assert_eq!(of(&drained, &own).unwrap().state, "drain");
    assert_eq!(of(&drained, "a").unwrap().weight, 0);
    let why = drained.reasons.join("\n");
    assert!(
        why.contains(&format!("{own} is skipped: it is drained")),
        "{why}"
    );
    // Who has sessions there stays.
    let stays = told_by(Protocol::Imap, |_| {}, &orders, "", Some(place));
    assert_eq!(stays.host.as_ref(), Some(&own));
    assert_eq!(stays.hosts[0].name, own);
    assert!(
        stays
            .reasons
            .iter()
            .any(|it| it.contains("new ones go there"))
    );

    let moved = |host: Option<&str>| Move {
        user: "bob@x".into(),
        backend: "other".into(),
        host: host.map(str::to_owned),
        since: 0,
        version: 1,
    };
    orders.apply(Change::Move(bob(), moved(Some("z"))));
    let hold = Hold {
        user: "bob@x".into(),
        since: 0,
        until: None,
        of: None,
    };
    orders.apply(Change::Hold(bob(), hold));
    let at = Place::new("cluster", "b");
    let elsewhere = told_by(Protocol::Imap, |_| {}, &orders, "", Some(at));
    let names = (elsewhere.backend.as_deref(), elsewhere.host.as_deref());
    assert_eq!(names, (Some("other"), Some("z")));
    let why = elsewhere.reasons.join("\n");
    for part in [
        "an operator moved the user to z of other at 1970-01-01T00:00:00Z",
        "an operator holds the user since 1970",
        "live sessions of the user are on cluster/b: they get a goodbye",
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
}

#[test]
fn hosts_stand_in_the_order_of_the_hash() {
    let told = told(Protocol::Imap, |_| {}, "");
    let pairs = [("a", 1), ("b", 1), ("c", 1)];
    let want: Vec<&str> = balance::rank("bob@x", &pairs)
        .into_iter()
        .map(|at| pairs[at].0)
        .collect();
    let got: Vec<&str> = told.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(got, want);
    assert_eq!(told.host.as_deref(), Some(want[0]));
    assert_eq!(told.login.as_deref(), Some("Bob@X"));
}

#[test]
fn hosts_that_are_away_are_skipped_unless_users_wait_for_theirs() {
    let first = told(Protocol::Imap, |_| {}, "").host.unwrap();
    let other = told(Protocol::Imap, |_| {}, &first);
    assert_eq!(
        other.host.as_ref(),
        other.hosts.get(1).map(|host| &host.name)
    );
    assert_eq!(other.hosts[0].state, "down");
    let waits = told(Protocol::Imap, |b| b.failover = Failover::No, &first);
    assert_eq!(waits.host, None);
}

#[test]
fn a_lookup_service_is_named_and_not_asked() {
    let mut config = Config::of(&[("@x", "cluster"), ("*", "rest")]);
    config.lookups.push(lookup::Config {
        urls: vec!["http://127.0.0.1:1/auth?key=secret".parse().unwrap()],
        timeout: std::time::Duration::from_secs(2),
        cache: std::time::Duration::ZERO,
        headers: Vec::new(),
        backends: ["cluster".to_owned()].into(),
        place: crate::route::Place::default().at(7),
    });
    let router = Router::new(config, []);
    let told = |name: &str| {
        let user = UserName::new(name.as_bytes()).unwrap();
        let ask = Ask::of(&user, Protocol::Imap);
        let known = Known {
            orders: &Orders::default(),
            pinned: &|_| None,
            hosts: &|backend, _| backend.hosts_by(&Orders::default()),
        };
        explain(&router, &BTreeMap::new(), ask, &known)
    };
    assert_eq!(told("bob@x").entry.as_deref(), Some("@x"));
    let asked = told("bob@y");
    assert_eq!(asked.entry.as_deref(), Some("http://127.0.0.1:1/auth"));
    assert_eq!((asked.line, asked.backend.as_ref()), (Some(7), None));
    let why = asked.reasons.join("\n");
    assert!(why.contains("is asked, with the password"), "{why}");
    assert!(why.contains("the default, rest, is for those"), "{why}");
    assert!(!why.contains("secret"));
}

#[test]
fn endpoints_decide_what_a_host_can_serve() {
    let only_pop3 = |b: &mut Backend| b.hosts = vec![host("p", Protocol::Pop3, 1)];
    assert_eq!(told(Protocol::Imap, only_pop3, "").host, None);
    let relayed = told(Protocol::Pop3, only_pop3, "");
    assert_eq!(relayed.host.as_deref(), Some("p"));
    let translated = told(Protocol::Pop3, |_| {}, "");
    assert!(translated.host.is_some());
    assert!(translated.reasons.iter().any(|r| r.contains("translated")));
}
