//! Many users at once, each with a host of their own: what a user shows reaches that user's host, and
//! no other.

use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::gateway::Settings;
use crate::support::imap::Way;
use crate::support::pop3::Way as PopWay;
use crate::support::{Imap, Pop3, Scratch, pki::Pki, scripted};

const USERS: usize = 12;
const ROUNDS: usize = 8;

#[test]
fn every_users_login_reaches_that_users_host_only() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let mut settings = Settings::new().limits("per_user: 1000, per_user_ip: 1000, per_ip: 1000");
    let mut hosts = Vec::new();
    for n in 0..USERS {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let port = scripted::imap_recording(seen.clone());
        let backend = format!("host{n}");
        settings = settings
            .backend(&backend, format!("imap://127.0.0.1:{port}"))
            .user(&format!("user{n}@mixup.example"), &backend);
        hosts.push(seen);
    }
    let gateway = settings.start(&scratch, &pki);
    let ports = gateway.ports;
    let users = (0..USERS).map(|n| {
        thread::spawn(move || {
            // Names differ in case from visit to visit: the map does not mind, nor may anything else.
            let names = [
                format!("user{n}@mixup.example"),
                format!("USER{n}@Mixup.Example"),
            ];
            let password = format!("secret-of-{n}-");
            for round in 0..ROUNDS {
                let name = &names[round % 2];
                let mut imap = Imap::plain(ports.imap);
                imap.login(Way::LoginQuoted, name, &password).ok();
                let mut pop3 = Pop3::plain(ports.pop3);
                let said = pop3.login(PopWay::UserPass, name, &password);
                assert!(said.starts_with("+OK"), "{said}");
                pop3.ok("QUIT");
                imap.command("LOGOUT").ok();
            }
        })
    });
    let users: Vec<_> = users.collect();
    users.into_iter().for_each(|user| user.join().unwrap());
    for (n, seen) in hosts.iter().enumerate() {
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2 * ROUNDS, "host {n}: {seen:?}");
        let (name, password) = (format!("user{n}@mixup.example"), format!("secret-of-{n}-"));
        for line in seen.iter() {
            let lower = line.to_ascii_lowercase();
            assert!(
                lower.contains(&name) && line.contains(&password),
                "host {n}: {line}"
            );
        }
    }
}
