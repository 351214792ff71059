//! Routes over small maps: keys, logins, defaults, listeners with a backend of their own.

use super::*;
use crate::protocol::Credentials;

const NOBODY: Visit<'_> = Visit {
    credentials: &Credentials::Certificate,
    client: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    attempt: 1,
    session: "s1",
    tls: None,
};

fn name(name: &str) -> UserName {
    UserName::new(name.as_bytes()).unwrap()
}

fn ask(user: &UserName) -> Ask<'_> {
    Ask::of(user, Protocol::Imap)
}

fn router(entries: Vec<(&str, Destination)>, default_domain: Option<&str>) -> Router {
    let mut map = Map::default();
    for (line, (key, to)) in (1..).zip(entries) {
        map.insert(key, &to, &Place::default().at(line)).unwrap();
    }
    let config = Config {
        map: Arc::new(map),
        default_domain: default_domain.map(Into::into),
        lookups: Vec::new(),
    };
    let pin = |listener: &str, server_name: Option<&str>, backend: &str| Pin {
        listener: listener.into(),
        server_name: server_name.map(Into::into),
        backend: backend.into(),
        place: Place::default().at(77),
    };
    Router::new(
        config,
        [
            pin("pinned", None, "own"),
            pin("named", Some("imap.old.example"), "old"),
            pin("named", Some("*.new.example"), "new"),
        ],
    )
}

fn login(template: &str, groups: &[&str]) -> Destination {
    Destination::Backend {
        backend: "b".into(),
        login: Some(Template::new(template, groups).unwrap()),
        host: Some("h".into()),
    }
}

#[tokio::test]
async fn a_route_names_backend_login_host_and_entry() {
    let router = router(
        vec![
            ("@old.example", login("{local}@new.example", &[])),
            ("/^(?<n>[^@]+)-sales@/", login("{n}", &["n"])),
            ("@typed", Destination::backend("c")),
        ],
        None,
    );
    let route = router
        .route(ask(&name("Bob@OLD.example")), &NOBODY)
        .await
        .unwrap();
    assert_eq!(route.login.as_str(), "Bob@new.example");
    assert_eq!(route.backend, "b");
    assert_eq!(route.host.as_deref(), Some("h"));
    assert_eq!(
        (route.entry.key.as_str(), route.entry.place.line),
        ("@old.example", 1)
    );
    let route = router
        .route(ask(&name("Eve-Sales@x")), &NOBODY)
        .await
        .unwrap();
    assert_eq!(route.login.as_str(), "Eve");
    let route = router
        .route(ask(&name("Eve@Typed")), &NOBODY)
        .await
        .unwrap();
    assert_eq!((route.login.as_str(), route.host), ("Eve@Typed", None));
}

#[tokio::test]
async fn no_match_reject_and_bad_templates_fail() {
    let router = router(
        vec![
            ("mallory@x", Destination::Reject("call us".into())),
            ("bob", login("{domain}", &[])),
            ("/^(?<n>.?)!/", login("{n}", &["n"])),
        ],
        None,
    );
    for (user, want) in [
        ("nobody", Failure::NoRoute),
        ("bob", Failure::NoRoute),
        ("!", Failure::NoRoute),
        (
            "mallory@X",
            Failure::NotAllowed {
                text: Some("call us".into()),
            },
        ),
    ] {
        let got = router.route(ask(&name(user)), &NOBODY).await.unwrap_err();
        assert_eq!(got, want, "{user}");
    }
}

#[tokio::test]
async fn the_default_domain_is_added_to_bare_names() {
    let router = router(
        vec![
            ("@example.org", Destination::backend("org")),
            ("*", Destination::backend("rest")),
        ],
        Some("example.org"),
    );
    let route = router.route(ask(&name("bob")), &NOBODY).await.unwrap();
    assert_eq!(
        (route.backend.as_str(), route.login.as_str()),
        ("org", "bob@example.org")
    );
    let route = router.route(ask(&name("bob@x")), &NOBODY).await.unwrap();
    assert_eq!(
        (route.backend.as_str(), route.login.as_str()),
        ("rest", "bob@x")
    );
}

#[test]
fn some_listeners_lead_to_one_backend() {
    let one = || vec![("*", Destination::backend("b"))];
    let two = vec![
        ("*", Destination::backend("b")),
        ("bob", Destination::backend("b")),
    ];
    for (entries, domain, other, pinned) in [
        (one(), None, Reach::AsTyped("b"), Reach::AsTyped("own")),
        (one(), Some("x"), Reach::Backend("b"), Reach::Backend("own")),
        (
            vec![("*", login("{local}", &[]))],
            None,
            Reach::Backend("b"),
            Reach::AsTyped("own"),
        ),
        (two, None, Reach::Any, Reach::AsTyped("own")),
        (vec![], None, Reach::Any, Reach::AsTyped("own")),
    ] {
        let router = router(entries, domain);
        assert_eq!(router.reach("other", Some("imap.old.example")), other);
        assert_eq!(router.reach("pinned", None), pinned);
        assert_eq!(router.reach("named", None), other);
        let named = match domain {
            None => Reach::ServerName("old"),
            Some(_) => Reach::Any,
        };
        assert_eq!(router.reach("named", Some("imap.old.example")), named);
    }
}

/// The map's own entries go before: nobody is sent against them by asking for a server.
#[tokio::test]
async fn the_server_asked_for_takes_the_defaults_place() {
    let router = router(
        vec![
            ("ann", Destination::backend("map")),
            ("@gone", Destination::Reject("moved".into())),
            ("*", Destination::backend("rest")),
        ],
        None,
    );
    let old = Some("imap.old.example");
    for (user, listener, server_name, want) in [
        ("ann", "named", old, "map"),
        ("bob", "named", old, "old"),
        ("bob", "named", Some("pop.new.example"), "new"),
        ("bob", "named", Some("new.example"), "rest"),
        ("bob", "named", Some("a.b.new.example"), "rest"),
        ("bob", "named", Some("elsewhere.example"), "rest"),
        ("bob", "named", None, "rest"),
        ("bob", "other", old, "rest"),
        ("bob@gone", "named", old, "rejected"),
    ] {
        let user = name(user);
        let ask = Ask {
            listener: Some(listener),
            server_name,
            ..ask(&user)
        };
        let route = router.route(ask, &NOBODY).await;
        let got = route.map_or("rejected".into(), |route| route.backend);
        assert_eq!(got, want, "{user} {listener} {server_name:?}");
    }
}

#[tokio::test]
async fn a_listener_with_a_backend_asks_no_map() {
    let router = router(vec![("*", Destination::Reject("no".into()))], None);
    let user = name("bob");
    let pinned = Ask {
        listener: Some("pinned"),
        ..ask(&user)
    };
    let route = router.route(pinned, &NOBODY).await.unwrap();
    assert_eq!(route.backend, "own");
    assert_eq!(
        (route.entry.key.as_str(), route.entry.place.line),
        ("listener pinned", 77)
    );
    let other = Ask {
        listener: Some("other"),
        ..ask(&user)
    };
    assert!(router.route(other, &NOBODY).await.is_err());
}
