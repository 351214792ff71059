//! Windows, exemptions and delays on virtual time, and the bounds of the tables.

mod at_once;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::protocol::Secret;

const MINUTE: Duration = Duration::from_secs(60);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn password(text: &str) -> Credentials {
    Credentials::Password(Secret::new(text.as_bytes()).unwrap())
}

/// Penalties with settings of their own.
struct Play {
    penalties: Penalties,
    limits: Limits,
}

/// What became of a login.
#[derive(Debug, PartialEq)]
enum Came {
    /// Nobody was asked.
    Limit,
    /// The host said no; the answer is held back for so many seconds.
    Wrong(u64),
    Right,
}

impl Play {
    fn new() -> Play {
        let trusted = vec!["10.0.0.0/8".parse().unwrap()];
        Play {
            penalties: Penalties::default(),
            limits: Limits {
                trusted,
                ..Limits::default()
            },
        }
    }

    fn with(limits: Limits) -> Play {
        Play {
            limits,
            ..Play::new()
        }
    }

    fn admit(&self, user: &str, from: &str, secret: &str) -> Result<Try, Limit> {
        let from = ip(from);
        let whose = self.penalties.whose(user, from);
        self.penalties
            .admit(&self.limits, user, whose, from, &password(secret))
    }

    /// A part in the windows; none: it would wait for others.
    fn stake(&self, tried: Try) -> Option<Result<Stake, Limit>> {
        let stake = pin!(self.penalties.stake(&self.limits, tried));
        match stake.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(stake) => Some(stake),
            Poll::Pending => None,
        }
    }

    /// A login where `right` is everybody's password.
    fn log_in(&self, user: &str, from: &str, secret: &str) -> Came {
        let Ok(tried) = self.admit(user, from, secret) else {
            return Came::Limit;
        };
        let _stake = self.stake(tried).unwrap().unwrap();
        if secret == "right" {
            tried.succeeded(&self.penalties);
            return Came::Right;
        }
        Came::Wrong(tried.failed(&self.penalties, &self.limits).as_secs())
    }

    fn guesses(&self, user: &str, from: &str, count: u32) {
        for n in 0..count {
            let came = self.log_in(user, from, &format!("guess {n} at {user} from {from}"));
            assert!(matches!(came, Came::Wrong(_)), "{user} {from} {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_answered_later_each_time() {
    let play = Play::new();
    let stranger = || play.log_in("alice", "192.0.2.1", "wrong");
    let delays: Vec<Came> = (0..5).map(|_| stranger()).collect();
    assert_eq!(delays, [2, 4, 8, 15, 15].map(Came::Wrong));
    for _ in 0..2 {
        assert_eq!(play.log_in("alice", "10.0.0.1", "wrong"), Came::Wrong(2));
    }
    assert_eq!(play.log_in("bob", "192.0.2.1", "right"), Came::Right);
    assert_eq!(stranger(), Came::Wrong(2));
    assert_eq!(stranger(), Came::Wrong(4));
    advance(MINUTE * 10).await;
    assert_eq!(stranger(), Came::Wrong(2));
}

#[tokio::test(start_paused = true)]
async fn distinct_passwords_fill_a_users_window() {
    let play = Play::new();
    for n in 0..10 {
        play.guesses("alice", &format!("192.0.2.{n}"), 1);
    }
    // From everywhere, and the right password too: what is said tells nothing about it.
    assert_eq!(play.log_in("alice", "198.51.100.1", "other"), Came::Limit);
    assert_eq!(play.log_in("alice", "198.51.100.1", "right"), Came::Limit);
    assert_eq!(play.log_in("bob", "192.0.2.1", "right"), Came::Right);
    // The window before counts by what is left of it.
    advance(MINUTE * 15).await;
    play.guesses("alice", "198.51.100.2", 5);
    assert_eq!(play.log_in("alice", "198.51.100.2", "x"), Came::Limit);
    advance(MINUTE * 20).await;
    assert_eq!(play.log_in("alice", "198.51.100.1", "right"), Came::Right);
}

#[tokio::test(start_paused = true)]
async fn a_phone_with_an_old_password_locks_nobody_out() {
    let play = Play::new();
    for _ in 0..500 {
        let came = play.log_in("alice", "192.0.2.1", "old");
        assert!(matches!(came, Came::Wrong(_)), "{came:?}");
        advance(MINUTE / 2).await;
    }
    assert_eq!(play.log_in("alice", "198.51.100.1", "right"), Came::Right);
}

#[tokio::test(start_paused = true)]
async fn where_a_user_logged_in_lately_the_window_of_strangers_does_not_count() {
    let play = Play::new();
    assert_eq!(play.log_in("alice", "198.51.100.1", "right"), Came::Right);
    assert_eq!(play.log_in("alice", "2001:db8::1", "right"), Came::Right);
    for _ in 0..23 {
        let mut n = 0;
        while play.log_in("alice", &format!("203.0.113.{}", n % 250), &format!("{n}"))
            != Came::Limit
        {
            n += 1;
        }
        advance(MINUTE * 60).await;
    }
    let mut n = 1000;
    while play.log_in("alice", &format!("203.0.113.{}", n % 250), &format!("{n}")) != Came::Limit {
        n += 1;
    }
    assert_eq!(play.log_in("alice", "198.51.100.2", "right"), Came::Limit);
    // Also for the neighbours in the same network of IPv6; also with a typing error first, which
    // fills nobody's window.
    for _ in 0..3 {
        play.guesses("alice", "2001:db8::2", 5);
    }
    assert_eq!(play.log_in("alice", "2001:db8::3", "right"), Came::Right);
    advance(MINUTE * 60).await;
    n += 1000;
    while play.log_in("alice", &format!("203.0.113.{}", n % 250), &format!("{n}")) != Came::Limit {
        n += 1;
    }
    // A day later it is known no more.
    assert_eq!(play.log_in("alice", "198.51.100.1", "right"), Came::Limit);
    assert_eq!(play.log_in("alice", "2001:db8::1", "right"), Came::Right);
}

#[tokio::test(start_paused = true)]
async fn an_address_has_a_window_over_all_users() {
    let play = Play::new();
    for n in 0..100 {
        let came = play.log_in(&format!("user{n}"), "2001:db8::1", "the same");
        assert!(matches!(came, Came::Wrong(_)), "{n}: {came:?}");
    }
    let of_network = ip("2001:db8:0:0:ffff::9");
    let nobody = play.penalties.whose("nobody", of_network);
    assert_eq!(
        play.penalties.user(&play.limits, nobody, of_network),
        Err(Limit::FailedLogins)
    );
    assert_eq!(play.log_in("bob", "2001:db8::1", "right"), Came::Limit);
    assert_eq!(play.log_in("bob", "2001:db8:0:1::1", "right"), Came::Right);
    // A good login is no way out: whoever has one password guesses others.
    let play = Play::new();
    for n in 0..100 {
        play.guesses(&format!("user{n}"), "192.0.2.1", 1);
        if n < 99 {
            assert_eq!(play.log_in("mallory", "192.0.2.1", "right"), Came::Right);
        }
    }
    assert_eq!(play.log_in("mallory", "192.0.2.1", "right"), Came::Limit);
}

#[tokio::test(start_paused = true)]
async fn trusted_networks_are_exempt() {
    let play = Play::new();
    play.guesses("alice", "10.1.2.3", 500);
    assert_eq!(play.log_in("alice", "192.0.2.1", "right"), Came::Right);
    play.guesses("bob", "192.0.2.2", 10);
    assert_eq!(play.log_in("bob", "10.1.2.3", "right"), Came::Right);
}

#[tokio::test(start_paused = true)]
async fn windows_are_as_long_as_they_are_set() {
    let play = Play::with(Limits {
        failed_per_user: Rate {
            count: 3,
            per: Duration::from_secs(2),
        },
        ..Limits::default()
    });
    play.guesses("alice", "192.0.2.1", 3);
    assert_eq!(play.log_in("alice", "192.0.2.2", "right"), Came::Limit);
    advance(Duration::from_secs(4)).await;
    assert_eq!(play.log_in("alice", "192.0.2.2", "right"), Came::Right);
}

/// Each of so many addresses tries a password of its own on a user of its own, and then knows one;
/// what that takes in tables of `1 / share` of the real size.
fn octets_after(addresses: u64, share: usize) -> usize {
    let penalties = Penalties::new(ADDRESSES / share, USERS / share, MARKS / share);
    assert_eq!(penalties.octets(), 0, "nothing before the first failure");
    let limits = Limits::default();
    for n in 0..addresses {
        let hash = |what: &str| penalties.hash(what, &[&n.to_be_bytes()]);
        let it = Try {
            address: hash("address"),
            user: hash("user"),
            from_here: hash("from here"),
            from_anywhere: hash("from anywhere"),
            here: hash("here"),
            counts: Counts::Everywhere,
        };
        it.failed(&penalties, &limits);
        it.succeeded(&penalties);
    }
    penalties.octets()
}

/// A share of them in a share of the tables; with `GATEPOST_MILLION=1` all, which takes half a minute
/// without optimisation.
#[tokio::test(start_paused = true)]
async fn a_million_addresses_take_less_than_64_mib() {
    let share: usize = match std::env::var_os("GATEPOST_MILLION") {
        Some(_) => 1,
        None => 32,
    };
    let octets = octets_after(1_000_000 / share as u64, share);
    assert!(octets < (64 << 20) / share, "{octets}");
    assert!(
        octets > (32 << 20) / share,
        "{octets}: not much was counted"
    );
}

/// The bound of each table, whatever comes.
#[test]
fn full_tables_stay_below_the_bound() {
    let set = size_of::<std::sync::Mutex<Vec<Counter>>>() + 16;
    let counters = (ADDRESSES + USERS) * size_of::<Counter>();
    let marks = 2 * MARKS * size_of::<Mark>();
    let sets = (ADDRESSES + USERS + 2 * MARKS) / 64 * set;
    let whole = counters + marks + sets;
    assert!(whole < 50 << 20, "{whole}");
}

/// Strangers, however many, do not push out the record of who did more than each of them.
#[tokio::test(start_paused = true)]
async fn a_record_is_not_cleared_by_filling_the_tables() {
    let play = Play {
        penalties: Penalties::new(1024, 1024, 1024),
        ..Play::new()
    };
    for n in 0..100 {
        play.guesses(&format!("user{n}"), "192.0.2.1", 1);
    }
    play.guesses("alice", "192.0.2.2", 10);
    for n in 0..50_000_u32 {
        let from = IpAddr::from(
            [0x2001_0db8, n, 0, 0]
                .map(u32::to_be_bytes)
                .concat()
                .try_into()
                .unwrap_or([0_u8; 16]),
        );
        let user = format!("stranger{n}");
        let secret = password("x");
        let whose = play.penalties.whose(&user, from);
        if let Ok(tried) = play
            .penalties
            .admit(&play.limits, &user, whose, from, &secret)
        {
            tried.failed(&play.penalties, &play.limits);
        }
    }
    assert_eq!(play.log_in("bob", "192.0.2.1", "right"), Came::Limit);
    assert_eq!(play.log_in("alice", "192.0.2.3", "right"), Came::Limit);
    assert!(play.penalties.octets() < 256 * 1024);
}

#[test]
fn passwords_are_kept_as_keyed_digests() {
    let (a, b) = (Penalties::default(), Penalties::default());
    let secret = password("right");
    assert_eq!(a.digest("alice", &secret), a.digest("alice", &secret));
    assert_ne!(a.digest("alice", &secret), a.digest("bob", &secret));
    assert_ne!(a.digest("alice", &secret), b.digest("alice", &secret));
    // Name and password cannot be shifted into one another.
    assert_ne!(
        a.digest("alice", &password("xy")),
        a.digest("alicex", &password("y"))
    );
}

#[test]
fn gateways_with_a_common_key_count_together() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(async {
        let plays = [Play::new(), Play::new()];
        let [one, two] = &plays;
        plays.iter().for_each(|it| it.penalties.use_key(b"common"));
        let pass_on = |age: u32| {
            for (from, to) in [(one, two), (two, one)] {
                let notes = from.penalties.take_outbox();
                let hear = |note| to.penalties.hear(note, age, &to.limits);
                notes.iter().for_each(hear);
            }
            assert!(one.penalties.take_outbox().is_empty());
        };
        // At home on the second; the phone shows one old password to both, which counts once.
        assert_eq!(two.log_in("alice", "192.0.2.9", "right"), Came::Right);
        pass_on(0);
        for n in 0..5 {
            for play in &plays {
                let from = format!("198.51.100.{n}");
                play.log_in("alice", &from, "old");
                play.log_in("alice", &from, &format!("guess{n}"));
                pass_on(0);
            }
        }
        for play in &plays {
            assert!(matches!(
                play.log_in("alice", "203.0.113.7", "a"),
                Came::Wrong(_)
            ));
            pass_on(0);
        }
        for n in 0..4 {
            two.log_in("alice", "203.0.113.7", &format!("more{n}"));
        }
        pass_on(0);
        for play in &plays {
            assert_eq!(play.log_in("alice", "203.0.113.8", "b"), Came::Limit);
            assert_eq!(play.log_in("alice", "192.0.2.9", "right"), Came::Right);
        }
        // What is long past is not counted anew.
        two.log_in("bob", "203.0.113.9", "x");
        pass_on(3600);
        let bob = one.penalties.whose("bob", ip("192.0.2.1")).user;
        assert!(one.penalties.users.get(bob).is_none());
    });
}
