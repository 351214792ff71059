//! Two gateways that move the same users at the same time.

use gatepost::protocol::UserName;
use gatepost::state::mover::{Job, Wish};
use gatepost::state::{Owner, State};
use tokio::runtime::Runtime;

use super::store::{REDIS, Redis};
use super::*;
use crate::support::Scratch;
use crate::support::need::needs;

const USERS: usize = 40;

fn owner(n: usize) -> Owner {
    Owner::new("old", &UserName::new(format!("u{n}").as_bytes()).unwrap())
}

fn wishes(to: &str) -> Vec<Wish> {
    let wish = |n| Wish {
        owner: owner(n),
        user: format!("u{n}"),
        to: Some((to.into(), None)),
    };
    (0..USERS).map(wish).collect()
}

/// Where each user is moved to; who is held beside.
fn standing(state: &State) -> (Vec<Option<String>>, usize) {
    let orders = state.orders();
    let at = |n| {
        let (owner, orders) = (owner(n), &orders);
        let moved = orders.moved(&owner, &owner);
        moved.map(|(_, moved)| moved.backend.clone())
    };
    ((0..USERS).map(at).collect(), orders.holds().count())
}

fn failed(job: &Job) -> Vec<String> {
    job.failed().into_iter().map(|(user, _)| user).collect()
}

#[test]
fn two_gateways_that_move_the_same_users_agree() {
    needs!(REDIS);
    let scratch = Scratch::new();
    let redis = Redis::start(&scratch);
    let runtime = Runtime::new().unwrap();
    let gates = [(); 2].map(|()| State::open(&redis.state()).unwrap());
    for gate in &gates {
        runtime.block_on(gate.start());
    }
    let mut judged = 0;
    for round in 0..60 {
        let targets = [format!("one{round}"), format!("two{round}")];
        let jobs = runtime.block_on(async {
            let [one, two] = &gates;
            let one = one.move_users(wishes(&targets[0]));
            tokio::time::sleep(Duration::from_millis(round % 20)).await;
            let two = two.move_users(wishes(&targets[1]));
            tokio::join!(one.finished(), two.finished());
            [one, two]
        });
        // Without its Redis a gateway moves nobody, which shows nothing here.
        if gates.iter().any(|it| it.trouble().is_some()) {
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        wait_for("both to know the same", || {
            standing(&gates[0]) == standing(&gates[1])
        });
        let (at, held) = standing(&gates[0]);
        let lost = [failed(&jobs[0]), failed(&jobs[1])];
        assert_eq!(held, 0, "somebody is held for good");
        for (n, at) in at.iter().enumerate() {
            let name = format!("u{n}");
            let moved: Vec<&String> = { targets.iter().zip(&lost) }
                .filter(|(_, lost)| !lost.contains(&name))
                .map(|(target, _)| target)
                .collect();
            let at = at.as_ref().unwrap();
            assert!(moved.contains(&at), "{name} is at {at}, moved to {moved:?}");
        }
        judged += 1;
        if judged == 8 {
            return;
        }
    }
    panic!("Redis was away in all but {judged} rounds");
}
