//! What one of several gateways that share a Redis is about, and no other at the same time.

use gatepost::state::State;

use super::store::{REDIS, Redis};
use super::*;
use crate::support::Scratch;
use crate::support::need::needs;

#[test]
fn a_maildrops_marks_are_one_gateways_business_at_a_time() {
    needs!(REDIS);
    let scratch = Scratch::new();
    let redis = Redis::start(&scratch);
    let config = redis.state();
    let judged = async {
        let gates = [State::open(&config).unwrap(), State::open(&config).unwrap()];
        for gate in &gates {
            gate.start().await;
        }
        let [one, other] = gates.each_ref().map(|gate| gate.journal().unwrap());
        let key = "pop3-delete/b/alice/INBOX";
        // On a machine that is starved Redis may be away for a moment, when it refuses nobody.
        for _ in 0..50 {
            let alone = one.alone(key).await.unwrap();
            let refused = other.alone(key).await.unwrap().is_none();
            let another = other.alone("pop3-delete/b/bob/INBOX").await.unwrap();
            drop(alone);
            if !refused || another.is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            // The place is given back behind its back.
            for _ in 0..600 {
                if other.alone(key).await.unwrap().is_some() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            panic!("nobody has it, and nobody gets it");
        }
        panic!("two had it at a time, again and again");
    };
    tokio::runtime::Runtime::new().unwrap().block_on(judged);
}
