//! Keys of each kind, and which of them wins.

use super::*;

fn name(name: &str) -> UserName {
    UserName::new(name.as_bytes()).unwrap()
}

fn place(file: &str, line: u32) -> Place {
    Place {
        file: Path::new(file).into(),
        line,
    }
}

fn map(keys: &[&str]) -> Map {
    let mut map = Map::default();
    for (line, key) in (1..).zip(keys) {
        map.insert(key, &Destination::backend(*key), &place("a", line))
            .unwrap();
    }
    map.shrink();
    map
}

#[test]
fn the_most_specific_key_wins() {
    let map = map(&[
        "*",
        "/^sales-/",
        "/^s/",
        "@*.org",
        "@*.example.org",
        "@example.org",
        "@*.A.example.org",
        "alice@example.org",
        "bob",
    ]);
    for (user, want) in [
        ("alice@example.org", "alice@example.org"),
        ("ALICE@EXAMPLE.ORG", "alice@example.org"),
        ("carol@Example.org", "@example.org"),
        ("carol@b.example.org", "@*.example.org"),
        ("carol@b.a.example.org", "@*.A.example.org"),
        ("carol@a.example.org", "@*.example.org"),
        ("carol@c.b.a.EXAMPLE.org", "@*.A.example.org"),
        ("carol@x.org", "@*.org"),
        ("sales-carol@x.net", "/^sales-/"),
        ("SUE@x.net", "/^s/"),
        ("sue@org", "/^s/"),
        ("sue@x.org", "@*.org"),
        ("bob", "bob"),
        ("Bob", "bob"),
        ("bob@x.net", "-"),
        ("x@", "-"),
        ("@", "-"),
        ("x@.", "-"),
    ] {
        let user = name(user);
        let found = map.find(&user);
        assert_eq!(found.map_or("-", |f| f.key()), want, "{user}");
    }
    assert_eq!(map.default_entry().unwrap().key(), "*");
}

#[test]
fn one_source_has_a_key_once_and_the_first_source_wins() {
    let mut map = map(&["alice@x", "@x", "@*.x", "/a/", "*"]);
    for (line, key) in [(1, "Alice@X"), (2, "@X"), (3, "@*.X"), (4, "/a/"), (5, "*")] {
        assert_eq!(
            map.insert(key, &Destination::backend("other"), &place("a", 9)),
            Err(Refused::Duplicate(place("a", line)))
        );
        assert_eq!(
            map.insert(key, &Destination::backend("other"), &place("b", 9)),
            Ok(())
        );
    }
    assert_eq!(map.len(), 5);
    assert_eq!(
        map.insert("/(/", &Destination::backend("other"), &place("a", 9)),
        Err(Refused::Pattern("unclosed group".into()))
    );
}

#[test]
fn many_entries_are_all_found() {
    let mut map = Map::default();
    for n in 0..20_000 {
        let to = Destination::backend(format!("b{}", n % 7));
        map.insert(
            &format!("User{n}@example{}.org", n % 100),
            &to,
            &place("a", n),
        )
        .unwrap();
    }
    assert_eq!(map.destinations().count(), 7);
    for n in 0..20_000 {
        let user = name(&format!("uSER{n}@Example{}.org", n % 100));
        let entry = map.find(&user).unwrap().entry().unwrap();
        assert_eq!(entry.place, place("a", n));
        assert_eq!(entry.to, Destination::backend(format!("b{}", n % 7)));
    }
    assert!(map.find(&name("user20000@example0.org")).is_none());
}
