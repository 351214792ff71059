//! What gateways of a site make of a Redis that comes back with old data, and of one that they alone could
//! not reach for a while.

use gatepost::protocol::UserName;
use gatepost::state::{Change, Claimed, Move, Owner, Pass, Place, State};
use tokio::runtime::Runtime;

use super::other::Other;
use super::store::{Link, REDIS, Redis, Way, in_some_try, link_is};
use super::*;
use crate::support::need::needs;
use crate::support::pki::Pki;
use crate::support::{Gateway, Scratch};

/// From a snapshot, or from a replica that lagged behind: what was taken back since is not to come back.
#[test]
fn a_redis_that_comes_back_with_old_data_revives_nothing() {
    needs!(REDIS);
    let scratch = Scratch::new();
    let mut redis = Redis::start(&scratch);
    let url = redis.url();
    let site = Site::new(3);
    let folders = [Scratch::new(), Scratch::new(), Scratch::new()];
    let start =
        |folder: &Scratch| -> Gateway { site.settings(&url).start(folder, &Pki::new(folder)) };
    let gateways = [start(&folders[0]), start(&folders[1])];
    let admin = gateways[0].ports.admin;
    let order = |method: &str, path: &str, body: &Value| {
        let (status, answer) = ask(admin, method, path, body);
        assert_eq!(status, 200, "{path} {answer}");
    };
    order("POST", "/api/v1/hold", &json!({"user": "alice"}));
    order("POST", "/api/v1/move", &moved("bob"));
    redis.tell("SAVE");
    order("POST", "/api/v1/release", &json!({"user": "alice"}));
    order("DELETE", "/api/v1/moves/bob", &Value::Null);
    order("POST", "/api/v1/move", &moved("carol"));
    wait_for("the last order on the other gateway", || {
        get(gateways[1].ports.admin, "/api/v1/moves")["moves"][0]["user"] == "carol"
    });
    redis.stop();
    wait_for("both to miss it", || {
        gateways.iter().all(|it| link_is(it, Link::Away))
    });
    redis.again();
    wait_for("both to be back", || {
        gateways.iter().all(|it| link_is(it, Link::Up))
    });
    let healed = |it: &Gateway| it.log().contains("event=state_healed");
    assert!(gateways.iter().any(healed), "{}", gateways[0].log());
    // One that never knew what was there before.
    let third = start(&folders[2]);
    for gateway in gateways.iter().chain([&third]) {
        wait_for("what was ordered last, and nothing else", || {
            let moves = get(gateway.ports.admin, "/api/v1/moves");
            let users = |kind: &str| -> Vec<String> {
                let all = moves[kind].as_array().into_iter().flatten();
                all.map(|it| it["user"].as_str().unwrap().to_owned())
                    .collect()
            };
            users("moves") == ["carol"] && users("holds").is_empty()
        });
        drop(Client::logged_in(gateway.ports.imap, "alice"));
    }
    assert_eq!(*site.census.torn.lock().unwrap(), Vec::<String>::new());
}

/// Which of several moves a name means is what the last order of it left, whoever reads the store later; and
/// so it is where the store lost all and was told anew.
#[test]
fn a_name_that_goes_by_the_map_again_does_so_for_gateways_that_come_later() {
    needs!(REDIS);
    in_some_try(|| {
        let scratch = Scratch::new();
        let mut redis = Redis::start(&scratch);
        let (config, runtime) = (redis.state(), Runtime::new().unwrap());
        let gateway = || {
            let state = State::open(&config).unwrap();
            runtime.block_on(state.start());
            state
        };
        let user = |name: &str| UserName::new(name.as_bytes()).unwrap();
        let moved = |backend: &str, name: &str, version| {
            let moved = Move {
                user: name.into(),
                backend: "there".into(),
                host: None,
                since: 0,
                version,
            };
            Change::Move(Owner::new(backend, &user(name)), moved)
        };
        let first = gateway();
        let mut all = Vec::new();
        // Some of many are certain to be read in another order than they were given in.
        for n in 0..20 {
            let (alice, bob) = (format!("alice{n}"), format!("bob{n}"));
            all.extend(["one", "two", "three"].map(|from| moved(from, &alice, 40)));
            all.extend([moved("three", &bob, 40), moved("two", &bob, 50)]);
            all.push(Change::Unmove(Owner::new("three", &user(&alice))));
        }
        if runtime.block_on(first.order(all)).is_err() {
            return false;
        }
        // How a login of each that the map leads to a fourth backend is let in, with the move it goes by.
        let judged = |state: &Arc<State>| {
            for n in 0..20 {
                for (name, version) in [(format!("alice{n}"), 0), (format!("bob{n}"), 50)] {
                    let mut pass = Pass::plain("four", &user(&name));
                    let orders = state.orders();
                    let way = orders.moved(&pass.owner, &pass.named);
                    pass.moved = way.map_or(0, |(_, moved)| moved.version);
                    drop(orders);
                    assert_eq!(pass.moved, version, "{name}");
                    let place = Place::new("there", "h");
                    let claimed = runtime.block_on(state.claim(&pass, &place));
                    let changed = matches!(claimed, Claimed::Changed);
                    assert!(!changed, "{name}: the store says otherwise");
                    runtime.block_on(async { drop(claimed) });
                }
            }
        };
        judged(&first);
        let second = gateway();
        if first.trouble().is_some() || second.trouble().is_some() {
            return false;
        }
        judged(&second);
        drop(second);
        redis.stop();
        wait_for("it to miss it", || first.trouble().is_some());
        redis.again();
        wait_for("it to be back", || first.trouble().is_none());
        judged(&first);
        let third = gateway();
        if first.trouble().is_some() || third.trouble().is_some() {
            return false;
        }
        judged(&third);
        true
    });
}

/// Who was moved meanwhile is asked to leave as soon as the gateway hears of it.
#[test]
fn a_gateway_that_was_cut_off_sends_the_moved_away() {
    needs!(REDIS);
    let scratch = Scratch::new();
    let redis = Redis::start(&scratch);
    let way = Way::to(redis.port);
    let site = Site::new(3);
    let folders = [Scratch::new(), Scratch::new()];
    let urls = [redis.url_at(way.port), redis.url()];
    let gateways: Vec<Gateway> = { folders.iter().zip(&urls) }
        .map(|(folder, url)| site.settings(url).start(folder, &Pki::new(folder)))
        .collect();
    let alice = Client::logged_in(gateways[0].ports.imap, "alice");
    assert_ne!(site.census.of("alice"), [2]);
    way.cut();
    wait_for("one to miss it", || link_is(&gateways[0], Link::Away));
    // Waits until what it held is void.
    let (status, answer) = ask(
        gateways[1].ports.admin,
        "POST",
        "/api/v1/move",
        &moved("alice"),
    );
    assert!(status == 200 || status == 202, "{answer}");
    wait_for("the move", || {
        get(gateways[1].ports.admin, "/api/v1/moves")["moves"][0]["user"] == "alice"
    });
    way.mend();
    assert!(alice.rest().contains("* BYE"));
    let _there = Client::logged_in(gateways[0].ports.imap, "alice");
    assert_eq!(site.census.of("alice"), [2]);
}

/// Who was asked to leave meanwhile leaves, also where whoever asked is gone by then.
#[test]
fn what_was_asked_of_a_gateway_that_was_cut_off_is_done_when_it_is_back() {
    needs!(REDIS);
    in_some_try(|| {
        let scratch = Scratch::new();
        let redis = Redis::start(&scratch);
        let way = Way::to(redis.port);
        let gateway = Other::of(&redis.state_at(way.port));
        let mover = Other::of(&redis.state());
        let Some((alice, asked)) = gateway.session("alice", "h0") else {
            return false;
        };
        way.cut();
        wait_for("it to miss it", || gateway.missed());
        if redis.keep_leases() != 2 {
            return false;
        }
        let job = mover.begin_move("alice");
        wait_for("the question", || {
            redis.asks_to_leave() || job.is_finished()
        });
        if job.is_finished() {
            return false;
        }
        // It would ask again.
        drop(mover);
        assert!(!asked.load(Ordering::Relaxed));
        way.mend();
        wait_for("her to be asked", || asked.load(Ordering::Relaxed));
        gateway.end(alice);
        true
    });
}

/// What a session held that ended meanwhile binds nobody: who is on another host by now stays there.
#[test]
fn what_ended_while_a_gateway_was_cut_off_sends_nobody_away() {
    needs!(REDIS);
    in_some_try(|| {
        let (scratch, folder) = (Scratch::new(), Scratch::new());
        let redis = Redis::start(&scratch);
        let way = Way::to(redis.port);
        let site = Site::new(3);
        let settings = site.settings(&redis.url_at(way.port));
        let gateway = settings.start(&folder, &Pki::new(&folder));
        let mover = Other::of(&redis.state());
        let bob = Client::logged_in(gateway.ports.imap, "bob");
        let mut first = Client::logged_in(gateway.ports.imap, "alice");
        let [on] = site.census.of("alice")[..] else {
            panic!("alice is on one host");
        };
        way.cut();
        wait_for("it to miss it", || link_is(&gateway, Link::Away));
        // What it held is not void by itself.
        if redis.keep_leases() != 2 {
            return false;
        }
        first.command("LOGOUT");
        site.hosts[on].up.store(false, Ordering::Relaxed);
        wait_for("her to be gone", || site.census.of("alice").is_empty());
        let mut again = Client::logged_in(gateway.ports.imap, "alice");
        assert_ne!(site.census.of("alice"), [on]);
        let job = mover.begin_move("bob");
        wait_for("the question", || {
            redis.asks_to_leave() || job.is_finished()
        });
        if job.is_finished() {
            return false;
        }
        way.mend();
        // Whoever is to leave hears of it now.
        assert!(bob.rest().contains("* BYE"));
        wait_for("it to be back", || link_is(&gateway, Link::Up));
        for _ in 0..3 {
            let answer = again.command("NOOP");
            assert!(answer.starts_with("a OK"), "{answer}");
        }
        assert_eq!(*site.census.torn.lock().unwrap(), Vec::<String>::new());
        true
    });
}
