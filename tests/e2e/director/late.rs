//! What a gateway asks of the store that it shares, and what not.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{IpAddr, TcpStream};

use gatepost::backend::config::{Config, Discover, Security};
use gatepost::backend::discover::{Answer, Looking, Lookup, Srv};
use gatepost::backend::{Backend, Request, Surroundings};
use gatepost::protocol::{Credentials, Protocol, Secret, UserName};
use gatepost::state::{Change, Claim, Claimed, Drain, Pass, Place, State};
use tokio::runtime::Runtime;

use super::store::{REDIS, Redis};
use super::*;
use crate::support::Scratch;
use crate::support::need::needs;
use crate::support::scratch::free_port;
use crate::support::users::ANYBODYS;

/// A gateway, as far as its state goes.
fn gateway(runtime: &Runtime, redis: &Redis) -> Arc<State> {
    let state = State::open(&redis.state()).unwrap();
    runtime.block_on(state.start());
    state
}

fn claimed(claimed: Claimed) -> Option<Claim> {
    match claimed {
        Claimed::Here(claim) => Some(claim),
        _ => None,
    }
}

fn pass(user: &str) -> Pass {
    Pass::plain("old", &UserName::new(user.as_bytes()).unwrap())
}

/// Everything that Redis is told from now on.
fn monitor(redis: &Redis) -> Lines<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port)).unwrap();
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).unwrap();
    write!(stream, "AUTH redis-secret\r\nMONITOR\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    for _ in 0..2 {
        assert_eq!(lines.next().unwrap().unwrap(), "+OK");
    }
    lines
}

#[test]
fn a_place_that_is_denied_here_is_not_given_back_there() {
    needs!(REDIS);
    let scratch = Scratch::new();
    let (redis, runtime) = (Redis::start(&scratch), Runtime::new().unwrap());
    let state = gateway(&runtime, &redis);
    let said = monitor(&redis);
    let claim = |user: &str, host| {
        let (pass, place) = (pass(user), Place::new("old", host));
        claimed(runtime.block_on(state.claim(&pass, &place)))
    };
    let _alice = claim("alice", "h0").unwrap();
    assert!(claim("alice", "h1").is_none(), "her sessions are elsewhere");
    let bob = claim("bob", "h0").unwrap();
    runtime.block_on(async { drop(bob) });
    for line in said {
        let line = line.unwrap();
        if line.contains("\"leave\"") {
            assert!(line.contains("bob"), "{line}");
            break;
        }
    }
}

/// A name server that knows one address, but not at once.
struct Late(AtomicBool);

impl Lookup for Late {
    fn srv(&self, _: String) -> Looking<'_, Srv> {
        Box::pin(async { Err("not yet".into()) })
    }

    fn addresses(&self, _: String) -> Looking<'_, IpAddr> {
        Box::pin(async {
            if !self.0.swap(true, Ordering::Relaxed) {
                return Err("not yet".into());
            }
            Ok(Answer {
                records: vec![[127, 0, 0, 1].into()],
                ttl: Duration::from_secs(600),
            })
        })
    }
}

#[test]
fn a_host_that_was_found_late_keeps_its_users_though_it_is_drained() {
    needs!(REDIS);
    // On a machine that is starved a gateway may miss its Redis, which shows nothing here.
    assert!((0..5).any(|_| found_late()), "Redis was away each time");
}

fn away(state: &State) -> bool {
    state.trouble().is_some()
}

/// Whether it was judged.
fn found_late() -> bool {
    let scratch = Scratch::new();
    let (redis, runtime) = (Redis::start(&scratch), Runtime::new().unwrap());
    let (state, other) = (gateway(&runtime, &redis), gateway(&runtime, &redis));
    let nobody = free_port();
    let watched = state.clone();
    let place = Place::new("old", &format!("127.0.0.1:{nobody}"));
    let _session = claimed(runtime.block_on(other.claim(&pass("alice"), &place))).unwrap();
    let drain = Change::Drain(
        place.clone(),
        Drain {
            since: 0,
            end: None,
        },
    );
    runtime.block_on(state.order(vec![drain])).unwrap();
    let config = Config {
        discover: Some(Discover {
            protocol: Protocol::Imap,
            security: Security::Clear,
            name: "store.example".into(),
            port: nobody,
        }),
        health: None,
        retry_for: Duration::from_secs(3),
        ..Config::new("old", Vec::new())
    };
    let around = Surroundings {
        state,
        ..Surroundings::default()
    };
    let backend = Arc::new(Backend::new(config, around).unwrap());
    let told = runtime.block_on(async {
        backend.start_asking(Arc::new(Late(AtomicBool::new(false))));
        let user = UserName::new(b"alice").unwrap();
        let credentials = Credentials::Password(Secret::new(ANYBODYS.as_bytes()).unwrap());
        let request = Request {
            protocol: Protocol::Imap,
            user: &user,
            credentials: &credentials,
            host: None,
            origin: None,
            behind: b"",
            pass: None,
            seat: None,
        };
        backend.connect(request).await.map(drop).unwrap_err()
    });
    if away(&watched) || away(&other) {
        return false;
    }
    // It was asked: nobody listens there.
    assert_eq!(told.host.as_deref(), Some(&*place.host), "{told:?}");
    true
}
