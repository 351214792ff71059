//! Two gateways that order at the same time, each through its own link.

use gatepost::protocol::UserName;
use gatepost::state::mover::{Job, Wish};
use gatepost::state::{Change, Claim, Claimed, Move, Owner, Pass, Place, State};
use tokio::runtime::Runtime;

use super::store::{REDIS, Redis, in_some_try};
use super::*;
use crate::support::Scratch;
use crate::support::need::needs;

const USERS: usize = 40;

struct Gates {
    _scratch: Scratch,
    redis: Redis,
    runtime: Runtime,
    states: [Arc<State>; 2],
}

impl Gates {
    fn start() -> Gates {
        let scratch = Scratch::new();
        let redis = Redis::start(&scratch);
        let runtime = Runtime::new().unwrap();
        let states = [(); 2].map(|()| State::open(&redis.state()).unwrap());
        for state in &states {
            runtime.block_on(state.start());
        }
        Gates {
            _scratch: scratch,
            redis,
            runtime,
            states,
        }
    }

    /// A round that shows something: without its Redis a gateway moves nobody.
    fn in_some_round(&self, judged: impl Fn(usize) -> bool) {
        let round = |round| {
            let judged = judged(round);
            if !judged {
                std::thread::sleep(Duration::from_secs(1));
            }
            judged
        };
        assert!((0..20).any(round), "Redis was away each time");
    }

    fn missed(&self) -> bool {
        self.states.iter().any(|state| state.trouble().is_some())
    }

    fn session(&self, state: &Arc<State>, n: usize, round: usize) -> Option<Claim> {
        let pass = Pass::plain("old", &user(n, round));
        let place = Place::new("old", "h");
        match self.runtime.block_on(state.claim(&pass, &place)) {
            Claimed::Here(claim) => Some(claim),
            _ => None,
        }
    }
}

fn user(n: usize, round: usize) -> UserName {
    UserName::new(format!("u{n}.{round}").as_bytes()).unwrap()
}

fn owner(n: usize, round: usize) -> Owner {
    Owner::new("old", &user(n, round))
}

fn wishes(round: usize, to: &str) -> Vec<Wish> {
    let wish = |n| Wish {
        owner: owner(n, round),
        user: user(n, round).to_string(),
        to: Some((to.into(), None)),
    };
    (0..USERS).map(wish).collect()
}

/// Where each user is moved to.
fn ways(state: &State, round: usize) -> Vec<Option<String>> {
    let orders = state.orders();
    let way = |n| {
        let owner = owner(n, round);
        let moved = orders.moved(&owner, &owner);
        moved.map(|(_, moved)| moved.backend.clone())
    };
    (0..USERS).map(way).collect()
}

fn held(state: &State) -> usize {
    state.orders().holds().count()
}

fn failed(job: &Job) -> Vec<String> {
    job.failed().into_iter().map(|(user, _)| user).collect()
}

#[test]
fn two_gateways_that_move_the_same_users_agree() {
    needs!(REDIS);
    let gates = Gates::start();
    let [one, two] = &gates.states;
    for offset in 0..6 {
        gates.in_some_round(|n| {
            let round = offset * 100 + n;
            let jobs = gates.runtime.block_on(async {
                let first = one.move_users(wishes(round, "one"));
                tokio::time::sleep(Duration::from_millis(3 * offset as u64)).await;
                let second = two.move_users(wishes(round, "two"));
                tokio::join!(first.finished(), second.finished());
                [first, second]
            });
            if gates.missed() {
                return false;
            }
            wait_for("both to know the same, and nobody to be held", || {
                ways(one, round) == ways(two, round) && held(one) + held(two) == 0
            });
            let lost = [failed(&jobs[0]), failed(&jobs[1])];
            for (n, way) in ways(one, round).iter().enumerate() {
                let name = user(n, round).to_string();
                let moved = ["one", "two"].into_iter().zip(&lost);
                let moved: Vec<&str> = { moved.filter(|(_, lost)| !lost.contains(&name)) }
                    .map(|(target, _)| target)
                    .collect();
                let way = way.as_deref().unwrap();
                assert!(moved.contains(&way), "{name}: {way} of {moved:?}");
            }
            true
        });
    }
}

#[test]
fn the_move_that_another_gateway_was_asked_for_last_counts() {
    needs!(REDIS);
    let gates = Gates::start();
    let [one, two] = &gates.states;
    gates.in_some_round(|round| {
        let sessions: Vec<Claim> = { 0..USERS }
            .filter_map(|n| gates.session(one, n, round))
            .collect();
        let (first, second) = {
            let _inside = gates.runtime.enter();
            let first = one.move_users(wishes(round, "one"));
            wait_for("the holds on the other gateway", || {
                held(two) == USERS || gates.missed()
            });
            (first, two.move_users(wishes(round, "two")))
        };
        wait_for("the first to stand back", || first.is_finished());
        gates.runtime.block_on(async { drop(sessions) });
        gates.runtime.block_on(second.finished());
        if gates.missed() {
            return false;
        }
        assert_eq!(failed(&first).len(), USERS);
        assert_eq!(failed(&second), Vec::<String>::new());
        wait_for("both to know it", || {
            gates.states.iter().all(|state| {
                ways(state, round)
                    .iter()
                    .all(|way| way.as_deref() == Some("two"))
                    && held(state) == 0
            })
        });
        true
    });
}

/// A later build may store more of a hold than this one knows: it is the same hold.
#[test]
fn who_is_held_by_a_later_build_is_moved() {
    needs!(REDIS);
    in_some_try(|| {
        let (scratch, runtime) = (Scratch::new(), Runtime::new().unwrap());
        let redis = Redis::start(&scratch);
        for n in 0..USERS {
            let name = user(n, 0);
            let hold = format!("{{\"why\":\"audit\",\"user\":\"{name}\",\"of\":null,\"since\":5}}");
            redis.set("holds", owner(n, 0).as_str(), &format!("0\t{hold}"));
        }
        let state = State::open(&redis.state()).unwrap();
        runtime.block_on(state.start());
        let job = runtime.block_on(async {
            let job = state.move_users(wishes(0, "one"));
            job.finished().await;
            job
        });
        if state.trouble().is_some() {
            return false;
        }
        assert_eq!(job.failed(), []);
        let ways = ways(&state, 0);
        assert!(ways.iter().all(|way| way.as_deref() == Some("one")));
        // It is an operator's, and stays.
        assert_eq!(held(&state), USERS);
        true
    });
}

/// By the move's key, while the login has another since the map was changed.
#[test]
fn a_hold_that_is_not_heard_yet_counts_in_the_store() {
    needs!(REDIS);
    let gates = Gates::start();
    let [one, _] = &gates.states;
    gates.in_some_round(|round| {
        let moved = Move {
            user: user(0, round).to_string(),
            backend: "there".into(),
            host: None,
            since: 0,
            version: 7,
        };
        let change = Change::Move(owner(0, round), moved);
        if gates.runtime.block_on(one.order(vec![change])).is_err() {
            return false;
        }
        let pass = Pass {
            moved: 7,
            ..Pass::plain("other", &user(0, round))
        };
        let place = Place::new("there", "h");
        let claim = || {
            let claimed = gates.runtime.block_on(one.claim(&pass, &place));
            let changed = matches!(claimed, Claimed::Changed);
            gates.runtime.block_on(async { drop(claimed) });
            changed
        };
        assert!(!claim());
        let hold = format!("0\t{{\"user\":\"{}\",\"since\":0}}", user(0, round));
        gates.redis.set("holds", owner(0, round).as_str(), &hold);
        let changed = claim();
        if gates.missed() {
            return false;
        }
        assert!(changed);
        true
    });
}

/// As after a rejoin: whoever ordered it did not know of the session.
#[test]
fn an_order_that_is_heard_ends_sessions_that_came_by_another_way() {
    needs!(REDIS);
    let gates = Gates::start();
    let [one, two] = &gates.states;
    gates.in_some_round(|round| {
        let Some(session) = gates.session(two, 0, round) else {
            return false;
        };
        let asked = Arc::new(AtomicBool::new(false));
        let flag = asked.clone();
        session.on_leave(Arc::new(move || flag.store(true, Ordering::Relaxed)));
        let moved = Move {
            user: user(0, round).to_string(),
            backend: "new".into(),
            host: None,
            since: 0,
            version: one.version(),
        };
        let change = Change::Move(owner(0, round), moved);
        let ordered = gates.runtime.block_on(one.order(vec![change]));
        if ordered.is_err() || gates.missed() {
            return false;
        }
        wait_for("the session to be asked to leave", || {
            asked.load(Ordering::Relaxed)
        });
        !gates.missed()
    });
}
