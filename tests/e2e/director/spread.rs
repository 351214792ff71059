//! Users over hosts with weights: two processes agree on everyone, and a host that goes takes only its
//! own users along.

use super::*;
use crate::support::pki::Pki;
use crate::support::{Gateway, Scratch};

/// Which host each user is sent to, as a running process tells it.
fn choices(gateway: &Gateway, users: u32) -> Vec<String> {
    let connected = || BufReader::new(connect(gateway.ports.admin).unwrap());
    let mut reader = connected();
    let mut choices = Vec::new();
    for n in 0..users {
        // A connection has its time there, and no more.
        if n % 200 == 199 {
            reader = connected();
        }
        let line = format!(
            "GET /api/v1/route?user=user{n}@example.org HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
            gateway.ports.admin
        );
        reader.get_mut().write_all(line.as_bytes()).unwrap();
        let told = answer(&mut reader);
        choices.push(told["host"].as_str().unwrap().to_owned());
    }
    choices
}

fn answer(reader: &mut BufReader<TcpStream>) -> Value {
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
        let (name, value) = line.split_once(':').unwrap_or(("", ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn users_are_spread_by_weight_and_two_processes_agree() {
    let users: u32 = if full() { 10_000 } else { 400 };
    let folders = [Scratch::new(), Scratch::new(), Scratch::new()];
    let start = |folder: &Scratch, hosts: &str| {
        Settings::new()
            .backend("all", format!("{{ hosts: [{hosts}], health: none }}"))
            .user("\"*\"", "all")
            .log("level: info")
            .start(folder, &Pki::new(folder))
    };
    let [a, b, c] = [("a", 1), ("b", 1), ("c", 2)].map(|(name, weight)| {
        format!("{{ name: {name}, imap: \"imap://127.0.0.1:1\", weight: {weight} }}")
    });
    let one = choices(&start(&folders[0], &format!("{a}, {b}, {c}")), users);
    // In another order, which changes nothing.
    let two = choices(&start(&folders[1], &format!("{c}, {a}, {b}")), users);
    assert_eq!(one, two);
    let share = |name: &str| {
        let there = one.iter().filter(|host| *host == name).count();
        100.0 * there as f64 / f64::from(users)
    };
    println!(
        "{users} users: {:.1} {:.1} {:.1} %",
        share("a"),
        share("b"),
        share("c")
    );
    let most = if full() { 3.0 } else { 6.0 };
    for (name, want) in [("a", 25.0), ("b", 25.0), ("c", 50.0)] {
        assert!((share(name) - want).abs() < most, "{name}: {}", share(name));
    }
    let without = choices(&start(&folders[2], &format!("{a}, {c}")), users);
    let moved = one.iter().zip(&without).filter(|(was, is)| was != is);
    assert!(moved.clone().all(|(was, _)| was == "b"));
    assert_eq!(
        moved.count(),
        one.iter().filter(|host| *host == "b").count()
    );
}
