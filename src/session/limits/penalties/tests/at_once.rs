//! Many tries at one moment: no more are judged than the windows have room for, and everybody whose password
//! is right is let in.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::*;
use crate::protocol::sasl::{Mechanism, Server, Turn};

/// How long a host takes.
const JUDGES: Duration = Duration::from_secs(1);

/// What a client of SCRAM shows first; no two are alike.
fn scram(user: &str, nonce: usize) -> Credentials {
    let first = STANDARD.encode(format!("n,,n={user},r=nonce{nonce}"));
    match Server::new(Mechanism::ScramSha256).start(Some(first.as_bytes())) {
        Turn::Login(login) => login.credentials,
        other => panic!("{other:?}"),
    }
}

#[derive(Clone)]
struct Guess {
    user: String,
    from: String,
    shown: Credentials,
    right: bool,
}

fn guess(user: &str, from: &str, shown: Credentials) -> Guess {
    Guess {
        user: user.to_owned(),
        from: from.to_owned(),
        shown,
        right: false,
    }
}

/// How many are at the host, at most at once, and in all.
#[derive(Default)]
struct Host {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl Host {
    async fn judges(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.all.fetch_add(1, Ordering::SeqCst);
        sleep(JUDGES).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All of them at once, and how many were right, wrong, and past a limit.
async fn at_once(play: &Arc<Play>, host: &Arc<Host>, guesses: Vec<Guess>) -> [usize; 3] {
    let mut all = JoinSet::new();
    for guess in guesses {
        let (play, host) = (play.clone(), host.clone());
        all.spawn(async move {
            let (penalties, from) = (&play.penalties, ip(&guess.from));
            let whose = penalties.whose(&guess.user, from);
            let tried = penalties.admit(&play.limits, &guess.user, whose, from, &guess.shown);
            let Ok(tried) = tried else { return 2 };
            let Ok(_stake) = penalties.stake(&play.limits, tried).await else {
                return 2;
            };
            host.judges().await;
            match guess.right {
                true => tried.succeeded(penalties),
                false => drop(tried.failed(penalties, &play.limits)),
            }
            usize::from(!guess.right)
        });
    }
    let mut came = [0; 3];
    for index in all.join_all().await {
        came[index] += 1;
    }
    assert_eq!(play.penalties.at_once.kept(), 0);
    came
}

#[tokio::test(start_paused = true)]
async fn of_many_tries_on_a_user_as_many_are_judged_as_the_window_has() {
    for by_scram in [false, true] {
        let (play, host) = (Arc::new(Play::new()), Arc::new(Host::default()));
        let one = |n: usize| {
            let shown = match by_scram {
                true => scram("alice", n),
                false => password(&format!("guess{n}")),
            };
            guess("alice", &format!("192.0.2.{n}"), shown)
        };
        let came = at_once(&play, &host, (0..150).map(one).collect()).await;
        assert_eq!(came, [0, 10, 140]);
        assert_eq!(host.all.load(Ordering::SeqCst), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_tries_from_an_address_as_many_are_judged_as_the_window_has() {
    let (play, host) = (Arc::new(Play::new()), Arc::new(Host::default()));
    let one = |n: usize| {
        let user = format!("user{n}");
        let shown = match n % 2 {
            0 => password("the same"),
            _ => scram(&user, n),
        };
        guess(&user, "192.0.2.1", shown)
    };
    let before = at_once(&play, &host, (0..99).map(one).collect()).await;
    assert_eq!(before, [0, 99, 0]);
    let more = at_once(&play, &host, (100..199).map(one).collect()).await;
    assert_eq!(more, [0, 1, 98]);
    assert_eq!(host.all.load(Ordering::SeqCst), 100);
}

#[tokio::test(start_paused = true)]
async fn right_passwords_at_once_are_all_let_in() {
    let (play, host) = (Arc::new(Play::new()), Arc::new(Host::default()));
    let right = |guess| Guess {
        right: true,
        ..guess
    };
    // Phones behind one address.
    let phone = |n: usize| right(guess(&format!("user{n}"), "192.0.2.1", password("right")));
    let phones = (0..300).map(phone).collect();
    assert_eq!(at_once(&play, &host, phones).await, [300, 0, 0]);
    assert_eq!(host.most.load(Ordering::SeqCst), 100);
    // One user's devices, whose tries cannot be compared.
    let device = |n: usize| {
        right(guess(
            "alice",
            &format!("198.51.100.{n}"),
            scram("alice", n),
        ))
    };
    let devices = (0..50).map(device).collect();
    assert_eq!(at_once(&play, &host, devices).await, [50, 0, 0]);
    // Where a user is known, and from a network that is exempt, nobody waits for the user's window.
    let known = |n: usize| right(guess("alice", "198.51.100.1", scram("alice", n)));
    let trusted = |n: usize| right(guess("bob", "10.0.0.1", scram("bob", n)));
    for (guesses, most) in [
        ((0..100).map(known).collect(), 100),
        ((0..300).map(trusted).collect::<Vec<_>>(), 300),
    ] {
        let (host, count) = (Arc::new(Host::default()), guesses.len());
        assert_eq!(at_once(&play, &host, guesses).await, [count, 0, 0]);
        assert_eq!(host.most.load(Ordering::SeqCst), most);
    }
}

/// Where nobody judged it, nothing is counted, and the next may go on.
#[tokio::test(start_paused = true)]
async fn what_nobody_judged_is_given_back() {
    let play = Play::new();
    let tried = |n: u32| play.admit("alice", &format!("192.0.2.{n}"), &format!("guess {n}"));
    let stake = |n: u32| play.stake(tried(n).unwrap());
    let taken: Vec<_> = (0..10).map(|n| stake(n).unwrap().unwrap()).collect();
    assert!(stake(10).is_none(), "it waits");
    // A password that was wrong before is no further guess.
    play.log_in("bob", "192.0.2.100", "old");
    let bob: Vec<_> = (0..20)
        .map(|_| play.admit("bob", "192.0.2.100", "old"))
        .collect();
    let bob: Vec<_> = bob
        .into_iter()
        .map(|it| play.stake(it.unwrap()).unwrap())
        .collect();
    assert!(bob.iter().all(Result::is_ok));
    // Their host was down.
    drop((taken, bob));
    play.guesses("alice", "192.0.2.200", 10);
    assert_eq!(play.log_in("alice", "192.0.2.201", "right"), Came::Limit);
}

/// Whoever waits, for one window or the other, and leaves meanwhile or not, keeps nobody waiting for ever.
#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_keeps_nobody_waiting() {
    let rate = |count| Rate {
        count,
        per: 600 * MINUTE,
    };
    let play = Arc::new(Play::with(Limits {
        failed_per_ip: rate(7),
        failed_per_user: rate(3),
        ..Limits::default()
    }));
    let mut all = JoinSet::new();
    for n in 0..2000_u64 {
        let play = play.clone();
        all.spawn(async move {
            // Whatever, and the same each time.
            let chance = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let (user, from) = (
                format!("user{}", chance % 5),
                format!("192.0.2.{}", chance % 7),
            );
            sleep(Duration::from_millis(chance % 4000)).await;
            let tried = play.admit(&user, &from, &format!("{n}")).unwrap();
            let wait = play.penalties.stake(&play.limits, tried);
            match chance % 3 {
                0 => drop(timeout(Duration::from_millis(chance % 300), wait).await),
                _ => {
                    let _stake = wait.await.unwrap();
                    sleep(Duration::from_millis(chance % 20)).await;
                }
            }
        });
    }
    let done = timeout(MINUTE, all.join_all()).await;
    assert!(done.is_ok(), "somebody waits for ever");
    assert_eq!(play.penalties.at_once.kept(), 0);
}

/// Who is woken for the one window may find others waiting for the other, who were woken for that one and find
/// these: none of them would ever be judged, and all processors busy with it.
#[tokio::test(start_paused = true)]
async fn those_who_wait_for_two_windows_do_not_wait_for_one_another() {
    let play = Arc::new(Play::new());
    let from = "192.0.2.1";
    let staked = |tried| play.stake(tried).unwrap().unwrap();
    for n in 0..85 {
        play.guesses(&format!("user{n}"), from, 1);
    }
    let alice = |n: usize| play.admit("alice", from, &format!("alice {n}")).unwrap();
    let of_alice: Vec<_> = (0..10).map(|n| staked(alice(n))).collect();
    let mut waiting = JoinSet::new();
    let mut wait = |tried| {
        let play = play.clone();
        waiting.spawn(async move {
            let stake = play.penalties.stake(&play.limits, tried);
            drop(stake.await.unwrap());
        });
    };
    // Alice's window is full, and then that of the address.
    (10..50).for_each(|n| wait(alice(n)));
    yield_now().await;
    let other = |n| play.admit(&format!("other{n}"), from, "wrong").unwrap();
    let of_others: Vec<_> = (0..5).map(|n| staked(other(n))).collect();
    (50..90).for_each(|n| wait(alice(n)));
    yield_now().await;
    assert_eq!(waiting.try_join_next().map(drop), None, "all of them wait");
    // Her host was down.
    drop(of_alice);
    for _ in 0..1000 {
        yield_now().await;
        while waiting.try_join_next().is_some() {}
    }
    assert_eq!(waiting.len(), 0, "still waiting");
    drop(of_others);
    assert_eq!(play.penalties.at_once.kept(), 0);
}

/// The same with threads, which come between one another anywhere.
#[test]
fn many_threads_are_no_more_than_the_window_has() {
    let limits = Limits {
        failed_per_user: Rate {
            count: 1,
            per: 60 * MINUTE,
        },
        ..Limits::default()
    };
    let play = &Play::with(limits);
    for round in 0..300 {
        let start = &std::sync::Barrier::new(4);
        let judged: usize = std::thread::scope(|scope| {
            let guess = |n: u8| {
                let (user, from) = (format!("user{round}"), format!("192.0.2.{n}"));
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                start.wait();
                let Ok(tried) = play.admit(&user, &from, &from) else {
                    return 0;
                };
                let stake = play.penalties.stake(&play.limits, tried);
                let Ok(_stake) = runtime.unwrap().block_on(stake) else {
                    return 0;
                };
                tried.failed(&play.penalties, &play.limits);
                1
            };
            let guesses: Vec<_> = (0..4).map(|n| scope.spawn(move || guess(n))).collect();
            guesses.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(judged, 1, "round {round}");
    }
}
