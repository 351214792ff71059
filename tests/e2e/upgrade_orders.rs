//! Orders that are given while one process follows another: moves, drains and weights in a file that
//! both have open. What was answered with a yes is kept.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::Value;

use super::upgrade::Last;
use crate::support::gateway::{Settings, cli};
use crate::support::pki::Pki;
use crate::support::scratch::Scratch;

#[test]
fn orders_given_during_an_upgrade_are_kept() {
    let scratch = Scratch::new();
    let state = scratch.join("state");
    let gateway = Settings::new()
        .backend(
            "old",
            "{ hosts: [{ name: h1, imap: \"demo://\" }, { name: h2, imap: \"demo://\" }] }",
        )
        .backend("new", "demo://")
        .user("\"*\"", "old")
        .top(&format!("state: file://{}", state.display()))
        .top("timeouts: { drain: 1s }")
        .log("level: info")
        .start(&scratch, &Pki::new(&scratch));
    let mut last = Last(gateway.pid());
    let over = AtomicBool::new(false);
    let run = |args: &[&str]| {
        let said = cli(args, &gateway.config);
        let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.status.success(), "{args:?}: {words}");
        words
    };
    let (moved, weight) = std::thread::scope(|scope| {
        let movers: Vec<_> = (0..2)
            .map(|mover| {
                let (over, run) = (&over, &run);
                scope.spawn(move || {
                    let mut moved = BTreeSet::new();
                    while !over.load(SeqCst) {
                        let user = format!("user{mover}-{}", moved.len());
                        run(&["move", &user, "new"]);
                        moved.insert(user);
                    }
                    moved
                })
            })
            .collect();
        let weights = scope.spawn(|| {
            let mut weight = 1;
            while !over.load(SeqCst) {
                weight += 1;
                run(&["weight", "h2", &weight.to_string()]);
            }
            run(&["drain", "h1"]);
            weight
        });
        for _ in 0..3 {
            let said = cli(&["upgrade"], &gateway.config);
            last.is_now(&said);
        }
        over.store(true, SeqCst);
        let moved: BTreeSet<String> = { movers.into_iter() }
            .flat_map(|mover| mover.join().unwrap())
            .collect();
        (moved, weights.join().unwrap())
    });
    eprintln!(
        "{} moves and {weight} weights during three upgrades",
        moved.len()
    );
    assert!(moved.len() > 3);
    let told: Value = serde_json::from_str(&run(&["moves", "--json"])).unwrap();
    let listed: BTreeSet<String> = { told["moves"].as_array().unwrap().iter() }
        .map(|one| one["user"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, moved);
    let told: Value = serde_json::from_str(&run(&["backends", "--json"])).unwrap();
    let told = told.to_string();
    assert!(told.contains(&format!("\"weight\":{weight}")), "{told}");
    assert!(told.contains("\"state\":\"drain\""), "{told}");
    last.end();
    // And in the file.
    let kept = std::fs::read_to_string(&state).unwrap();
    for user in &moved {
        assert!(kept.contains(&format!("\"{user}\"")), "{user}");
    }
}
