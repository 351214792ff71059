//! A model of the login: random scripts of clients, hosts, faults and time, played on whole sessions
//! and on a reference beside them, which says what each client must be told and when.
//!
//! Time is tokio's and stands still until everybody waits, so "when" is exact. Hosts are inside the
//! process, one a user; each tells who is logged in, so what reaches the wrong host or client shows.
//! `PROPTEST_CASES=N` plays N scripts.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "model/actions.rs"]
mod actions;
#[path = "model/checked.rs"]
mod checked;
#[path = "model/hosts.rs"]
mod hosts;
#[path = "model/panics.rs"]
mod panics;
#[path = "model/parting.rs"]
mod parting;
#[path = "model/places.rs"]
mod places;
#[path = "model/real.rs"]
mod real;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/waits.rs"]
mod waits;

use proptest::prelude::*;
use proptest::test_runner::Config;

use real::Real;
use reference::{Reference, action};

proptest! {
    #![proptest_config(Config { cases: cases(), failure_persistence: None, ..Config::default() })]

    /// Whatever happens in whatever order: each client is told what the reference says, as late as it
    /// says, and user n's octets reach user n's host only.
    #[test]
    fn a_login_is_what_the_reference_says(script in proptest::collection::vec(action(), 1..40)) {
        let mut reference = Reference::default();
        let mut real = Real::new();
        for (step, action) in script.iter().enumerate() {
            let Some(wanted) = reference.expects(action) else { continue };
            let came = real.does(action);
            prop_assert_eq!(&came, &wanted, "step {} {:?}", step, action);
            real.looks_right();
        }
    }
}

fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|it| it.parse().ok()).unwrap_or(60)
}
