//! A gateway whose users are live through another one, with which it shares a Redis.

use gatepost::protocol::{Secret, UserName};
use gatepost::state::config::Redis as Shared;
use gatepost::state::{Claim, Claimed, Config, Pass, Place, State};

use super::redis::{REDIS, Redis};
use super::*;
use crate::support::need::needs;
use crate::support::pki::Pki;
use crate::support::{Gateway, Scratch};

/// What another gateway shares with those under test.
async fn replica(redis: &Redis) -> Arc<State> {
    let url = redis.url();
    let secret = |text: &str| Secret::new(text.as_bytes()).unwrap();
    let config = Config::Redis(Shared {
        url: secret(url.split('"').nth(1).unwrap()),
        password: Some(secret("redis-secret")),
        prefix: Shared::PREFIX.into(),
    });
    let state = State::open(&config).unwrap();
    state.start().await;
    state
}

/// A session through that gateway, and whether it was asked to leave.
async fn session(state: &Arc<State>, user: &str, host: &str) -> Option<(Claim, Arc<AtomicBool>)> {
    let pass = Pass::plain("old", &UserName::new(user.as_bytes()).unwrap());
    let Claimed::Here(claim) = state.claim(&pass, &Place::new("old", host)).await else {
        return None;
    };
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    claim.on_leave(Arc::new(move || flag.store(true, Ordering::Relaxed)));
    Some((claim, asked))
}

/// A few tries: on a machine that is starved a gateway may miss its Redis, which shows nothing here.
fn in_some_try(judged: impl Fn() -> bool) {
    assert!((0..5).any(|_| judged()), "Redis was away each time");
}

fn missed(gateway: &Gateway) -> bool {
    gateway.log().contains("event=state_away")
}

/// Two hosts of one backend that take so many sessions; 0: any.
fn start(site: &Site, redis: &Redis, scratch: &Scratch, most: u32) -> Gateway {
    let hosts = site.hosts.iter().enumerate();
    let hosts: Vec<String> = hosts
        .map(|(n, host)| format!("{{ name: h{n}, imap: \"imap://127.0.0.1:{}\" }}", host.port))
        .collect();
    Settings::new()
        .backend(
            "old",
            format!(
                "{{ hosts: [{}], health: none, max_sessions: {most}, retry_for: 3s }}",
                hosts.join(", ")
            ),
        )
        .user("\"*\"", "old")
        .user("fixed", "{ backend: old, host: h1 }")
        .limits("per_user: 1000, per_user_ip: 1000")
        .log("level: info")
        .top(&format!("state: {}", redis.url()))
        .start(scratch, &Pki::new(scratch))
}

fn host_of(gateway: &Gateway, user: &str) -> String {
    let told = get(gateway.ports.admin, &format!("/api/v1/route?user={user}"));
    told["host"].as_str().unwrap().to_owned()
}

fn login(gateway: &Gateway, user: &str, password: &str) -> (Client, String) {
    let mut client = Client::connect(gateway.ports.imap);
    let answer = client.command(&format!("LOGIN {user} {password}"));
    (client, answer)
}

#[test]
fn a_host_that_passes_logins_on_keeps_the_sessions_it_has_through_others() {
    needs!(REDIS);
    in_some_try(|| {
        let scratch = Scratch::new();
        let redis = Redis::start(&scratch);
        let site = Site::new(2);
        let gateway = start(&site, &redis, &scratch, 1);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let other = runtime.block_on(replica(&redis));
        let home = host_of(&gateway, "alice");
        let busy = home.replace('h', "busy");
        let Some((claim, asked)) = runtime.block_on(session(&other, "alice", &home)) else {
            return false;
        };
        // The host says that it cannot, whoever it is that asks.
        let (_, no) = login(&gateway, "alice", &busy);
        let unavailable = no;
        // The host is full.
        let mut users = (0..).map(|n| format!("user{n}"));
        let bob = users.find(|user| host_of(&gateway, user) == home).unwrap();
        let bob = Client::logged_in(gateway.ports.imap, &bob);
        let (_, full) = login(&gateway, "alice", "wrong");
        if missed(&gateway) || other.trouble().is_some() {
            return false;
        }
        assert!(unavailable.contains("[UNAVAILABLE]"), "{unavailable}");
        assert!(full.contains("[LIMIT]"), "{full}");
        assert!(!asked.load(Ordering::Relaxed), "alice was sent away");
        // Nobody is there any more: the other host may.
        runtime.block_on(async { drop(claim) });
        wait_for("the other host", || {
            login(&gateway, "alice", "secret").1.starts_with("a OK")
        });
        drop(bob);
        !missed(&gateway)
    });
}

#[test]
fn a_host_that_cannot_passes_on_who_has_no_session_there() {
    needs!(REDIS);
    in_some_try(|| {
        let scratch = Scratch::new();
        let redis = Redis::start(&scratch);
        let site = Site::new(2);
        let gateway = start(&site, &redis, &scratch, 0);
        for n in 0..10 {
            let user = format!("user{n}");
            let busy = host_of(&gateway, &user).replace('h', "busy");
            let (client, answer) = login(&gateway, &user, &busy);
            if missed(&gateway) {
                return false;
            }
            assert!(answer.starts_with("a OK"), "{user}: {answer}");
            drop(client);
            wait_for("the end of the session", || {
                site.census.of(&user).is_empty()
            });
        }
        true
    });
}

#[test]
fn a_drained_host_takes_its_own_users_through_every_gateway() {
    needs!(REDIS);
    in_some_try(|| {
        let scratch = Scratch::new();
        let redis = Redis::start(&scratch);
        let site = Site::new(2);
        let gateway = start(&site, &redis, &scratch, 0);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let other = runtime.block_on(replica(&redis));
        let home = host_of(&gateway, "alice");
        let Some((at_home, _)) = runtime.block_on(session(&other, "alice", &home)) else {
            return false;
        };
        let Some((at_fixed, _)) = runtime.block_on(session(&other, "fixed", "h1")) else {
            return false;
        };
        for host in ["h0", "h1"] {
            let at = format!("/api/v1/backends/old/hosts/{host}");
            let drain = json!({ "state": "drain" });
            let (status, answer) = ask(gateway.ports.admin, "PUT", &at, &drain);
            if missed(&gateway) {
                return false;
            }
            assert_eq!(status, 200, "{answer}");
        }
        let mut told = Vec::new();
        for user in ["alice", "fixed", "bob"] {
            let (client, answer) = login(&gateway, user, "secret");
            let census = site.census.of(user);
            told.push((user, answer, census));
            drop(client);
            wait_for("the end of the session", || site.census.of(user).is_empty());
        }
        if missed(&gateway) || other.trouble().is_some() {
            return false;
        }
        let home: usize = home.trim_start_matches('h').parse().unwrap();
        for ((user, answer, census), want) in told.iter().zip([vec![home], vec![1], vec![]]) {
            assert_eq!(*census, want, "{user}: {answer}");
        }
        // Nobody else is there any more: now it takes no new ones.
        runtime.block_on(async { drop((at_home, at_fixed)) });
        for user in ["alice", "fixed"] {
            wait_for("the drain", || {
                login(&gateway, user, "secret").1.contains("[UNAVAILABLE]")
            });
        }
        true
    });
}
