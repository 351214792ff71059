//! A gateway whose users are live through another one, with which it shares a Redis.

use super::other::Other;
use super::store::{REDIS, Redis, in_some_try};
use super::*;
use crate::support::need::needs;
use crate::support::pki::Pki;
use crate::support::users::ANYBODYS;
use crate::support::{Gateway, Scratch};

/// A gateway before two hosts of one backend, and a Redis that it shares with another one.
struct Shared {
    gateway: Gateway,
    redis: Redis,
    site: Site,
    /// Its files, until the end: the gateway's log is looked at when that is dropped.
    _scratch: Scratch,
}

impl Shared {
    /// Each host takes so many sessions, or any.
    fn start(most: Option<u32>) -> Shared {
        let most = most.unwrap_or(0);
        let scratch = Scratch::new();
        let redis = Redis::start(&scratch);
        let site = Site::new(2);
        let gateway = Settings::new()
            .backend(
                "old",
                format!(
                    "{{ hosts: [{}], health: none, max_sessions: {most}, retry_for: 3s }}",
                    site.entries().join(", ")
                ),
            )
            .user("\"*\"", "old")
            .user("fixed", "{ backend: old, host: h1 }")
            .limits("per_user: 1000, per_user_ip: 1000")
            .log("level: info")
            .top(&format!("state: {}", redis.url()))
            .start(&scratch, &Pki::new(&scratch));
        Shared {
            gateway,
            redis,
            site,
            _scratch: scratch,
        }
    }

    /// Whether the gateway had to do without its Redis.
    fn missed(&self) -> bool {
        self.gateway.log().contains("event=state_away")
    }

    fn home(&self, user: &str) -> String {
        let path = format!("/api/v1/route?user={user}");
        let told = get(self.gateway.ports.admin, &path);
        told["host"].as_str().unwrap().to_owned()
    }

    fn login(&self, user: &str, password: &str) -> (Client, String) {
        let mut client = Client::connect(self.gateway.ports.imap);
        let answer = client.command(&format!("LOGIN {user} {password}"));
        (client, answer)
    }
}

#[test]
fn a_host_that_passes_logins_on_keeps_the_sessions_it_has_through_others() {
    needs!(REDIS);
    in_some_try(|| {
        let shared = Shared::start(Some(1));
        let other = Other::of(&shared.redis.state());
        let home = shared.home("alice");
        let busy = home.replace('h', "busy");
        let Some((claim, asked)) = other.session("alice", &home) else {
            return false;
        };
        // The host says that it cannot, whoever it is that asks.
        let (_, unavailable) = shared.login("alice", &busy);
        // The host is full.
        let mut users = (0..).map(|n| format!("user{n}"));
        let bob = users.find(|user| shared.home(user) == home).unwrap();
        let bob = Client::logged_in(shared.gateway.ports.imap, &bob);
        let (_, full) = shared.login("alice", "wrong");
        if shared.missed() || other.missed() {
            return false;
        }
        assert!(unavailable.contains("[UNAVAILABLE]"), "{unavailable}");
        assert!(full.contains("[LIMIT]"), "{full}");
        assert!(!asked.load(Ordering::Relaxed), "alice was sent away");
        // Nobody is there any more: the other host may.
        other.end(claim);
        wait_for("the other host", || {
            shared.login("alice", ANYBODYS).1.starts_with("a OK")
        });
        drop(bob);
        !shared.missed()
    });
}

#[test]
fn a_host_that_cannot_passes_on_who_has_no_session_there() {
    needs!(REDIS);
    in_some_try(|| {
        let shared = Shared::start(None);
        for n in 0..10 {
            let user = format!("user{n}");
            let busy = shared.home(&user).replace('h', "busy");
            let (client, answer) = shared.login(&user, &busy);
            if shared.missed() {
                return false;
            }
            assert!(answer.starts_with("a OK"), "{user}: {answer}");
            drop(client);
            wait_for("the end of the session", || {
                shared.site.census.of(&user).is_empty()
            });
        }
        true
    });
}

#[test]
fn a_drained_host_takes_its_own_users_through_every_gateway() {
    needs!(REDIS);
    in_some_try(|| {
        let shared = Shared::start(None);
        let other = Other::of(&shared.redis.state());
        let home = shared.home("alice");
        let Some((at_home, _)) = other.session("alice", &home) else {
            return false;
        };
        let Some((at_fixed, _)) = other.session("fixed", "h1") else {
            return false;
        };
        for host in ["h0", "h1"] {
            let at = format!("/api/v1/backends/old/hosts/{host}");
            let drain = json!({ "state": "drain" });
            let (status, answer) = ask(shared.gateway.ports.admin, "PUT", &at, &drain);
            if shared.missed() {
                return false;
            }
            assert_eq!(status, 200, "{answer}");
        }
        let mut told = Vec::new();
        for user in ["alice", "fixed", "bob"] {
            let (client, answer) = shared.login(user, ANYBODYS);
            let census = shared.site.census.of(user);
            told.push((user, answer, census));
            drop(client);
            wait_for("the end of the session", || {
                shared.site.census.of(user).is_empty()
            });
        }
        if shared.missed() || other.missed() {
            return false;
        }
        let home: usize = home.trim_start_matches('h').parse().unwrap();
        for ((user, answer, census), want) in told.iter().zip([vec![home], vec![1], vec![]]) {
            assert_eq!(*census, want, "{user}: {answer}");
        }
        // Nobody else is there any more: now it takes no new ones.
        other.end((at_home, at_fixed));
        for user in ["alice", "fixed"] {
            wait_for("the drain", || {
                shared.login(user, ANYBODYS).1.contains("[UNAVAILABLE]")
            });
        }
        true
    });
}
