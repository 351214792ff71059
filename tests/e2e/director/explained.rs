//! `explain` tells what operators ordered, where sessions are and how hosts are: over the API all of it,
//! offline what is kept in a file or on Redis.

use super::store::{REDIS, Redis};
use super::*;
use crate::support::Scratch;
use crate::support::gateway::cli;
use crate::support::need::needs;
use crate::support::pki::Pki;

fn reasons(told: &Value) -> String {
    let reasons = told["reasons"].as_array().unwrap();
    let reasons = reasons.iter().map(|it| it.as_str().unwrap().to_owned());
    reasons.collect::<Vec<_>>().join("\n")
}

fn offline(user: &str, config: &std::path::Path) -> Value {
    let output = cli(&["explain", user, "--json"], config);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn explain_tells_moves_holds_drains_sessions_and_health() {
    let (scratch, site) = (Scratch::new(), Site::new(3));
    let state = format!("file://{}", scratch.join("state").display());
    let gateway = site.settings(&state).start(&scratch, &Pki::new(&scratch));
    let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
    let live = |user: &str| get(admin, &format!("/api/v1/route?user={user}"));
    let alice = Client::logged_in(imap, "alice");
    let there = site.census.of("alice")[0];
    let (own, other) = (format!("h{there}"), format!("h{}", 1 - there));
    let drain = json!({"state": "drain"});
    let at = format!("/api/v1/backends/old/hosts/{own}");
    assert_eq!(ask(admin, "PUT", &at, &drain).0, 200);
    // With a session there, and without.
    let told = live("alice");
    assert_eq!(told["host"], own, "{told}");
    assert!(reasons(&told).contains(&format!("live sessions of the user are on {own}")));
    let told = offline("alice", &gateway.config);
    assert_eq!(told["host"], other, "{told}");
    assert!(reasons(&told).contains(&format!("{own} is skipped: it is drained")));
    drop(alice);
    wait_for("the session's end", || live("alice")["host"] == other);
    assert_eq!(ask(admin, "PUT", &at, &json!({"state": "up"})).0, 200);
    // A host that is down is known to the running gateway only.
    site.hosts[there].up.store(false, Ordering::Relaxed);
    wait_for("the host's fall", || live("alice")["host"] == other);
    let told = live("alice");
    assert_eq!(told["hosts"][0]["state"], "down", "{told}");
    assert!(reasons(&told).contains(&format!("{own} is skipped: down (")));
    assert_eq!(offline("alice", &gateway.config)["host"], own);
    site.hosts[there].up.store(true, Ordering::Relaxed);
    // Moved to a host, and held; by the name that was typed.
    let name = "alice@mapped.example";
    let body = json!({"user": name, "backend": "new", "host": "h2"});
    assert_eq!(ask(admin, "POST", "/api/v1/move", &body).0, 200);
    assert_eq!(
        ask(admin, "POST", "/api/v1/hold", &json!({"user": name})).0,
        200
    );
    for told in [live(name), offline(name, &gateway.config)] {
        let fields = (&told["backend"], &told["host"], &told["login"]);
        assert_eq!(
            fields,
            (&json!("new"), &json!("h2"), &json!("alice")),
            "{told}"
        );
        let why = reasons(&told);
        assert!(
            why.contains("an operator moved the user to h2 of new at 2"),
            "{why}"
        );
        assert!(why.contains("an operator holds the user since 2"), "{why}");
    }
}

#[test]
fn explain_offline_reads_what_is_on_redis() {
    needs!(REDIS);
    let (scratch, site) = (Scratch::new(), Site::new(3));
    let redis = Redis::start(&scratch);
    let gateway = site
        .settings(&redis.url())
        .start(&scratch, &Pki::new(&scratch));
    let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
    let _alice = Client::logged_in(imap, "alice");
    let own = format!("h{}", site.census.of("alice")[0]);
    ask(admin, "POST", "/api/v1/move", &moved("bob"));
    let told = offline("alice", &gateway.config);
    assert_eq!(told["host"], own, "{told}");
    let why = reasons(&told);
    assert!(
        why.contains(&format!("live sessions of the user are on {own}")),
        "{why}"
    );
    let told = offline("bob", &gateway.config);
    assert_eq!(
        (&told["backend"], &told["host"]),
        (&json!("new"), &json!("h2")),
        "{told}"
    );
    let places = get(admin, "/api/v1/route?user=alice");
    assert_eq!(places["host"], own, "{places}");
    drop(redis);
    let why = reasons(&offline("bob", &gateway.config));
    assert!(
        why.contains("moves, holds and drains are not in this"),
        "{why}"
    );
}
