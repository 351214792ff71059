//! Several gateways that share a Redis, and a Redis that is away or none.

use std::process::Command;

use super::store::{Link, REDIS, Redis, link_is};
use super::*;
use crate::support::need::needs;
use crate::support::pki::Pki;
use crate::support::scratch::free_port;
use crate::support::users::ANYBODYS;
use crate::support::{Gateway, Scratch};

#[test]
fn gateways_with_a_redis_never_let_a_user_in_on_two_hosts() {
    needs!(REDIS);
    // On a machine that is starved an answer of Redis may be late: then each gateway goes on by itself,
    // which is what it should, and shows nothing here. So again, with fewer users; a machine on which no
    // Redis keeps up with five has shown nothing, and that is a failure.
    let (gateways, most, seconds) = if full() { (4, 200, 60) } else { (2, 40, 6) };
    for divisor in [1, 2, 4, 8, 8, 8] {
        let divisor = if full() { 1 } else { divisor };
        if judged(gateways, most / divisor, seconds) {
            return;
        }
    }
    panic!("Redis was away each time: nothing was judged");
}

/// A while of logins on gateways of their own; false where one of them missed its Redis meanwhile.
#[expect(clippy::print_stdout, reason = "the figures of the long form")]
fn judged(gateways: usize, users: usize, seconds: u64) -> bool {
    let scratch = Scratch::new();
    let redis = Redis::start(&scratch);
    let site = Site::new(4);
    let folders: Vec<Scratch> = (0..gateways).map(|_| Scratch::new()).collect();
    let running: Vec<Gateway> = folders
        .iter()
        .map(|folder| site.settings(&redis.url()).start(folder, &Pki::new(folder)))
        .collect();
    let ports: Vec<u16> = running.iter().map(|gateway| gateway.ports.imap).collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let refused = Mutex::new(HashMap::<String, u32>::new());
    let (site, ports, refused) = (&site, &ports, &refused);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // One of the three hosts of `old` is away, now this one, now that one.
            let mut turn = 0;
            while Instant::now() < end {
                let host = &site.hosts[turn % 3];
                host.up.store(false, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(700));
                host.up.store(true, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(300));
                turn += 1;
            }
        });
        for n in 0..users * 2 {
            scope.spawn(move || {
                let mut luck = n * 7919 + 17;
                while Instant::now() < end {
                    luck = (luck * 1_103_515_245 + 12_345) % 2_147_483_648;
                    let port = ports[(luck / 64) % ports.len()];
                    let mut client = Client::connect(port);
                    let answer = client.command(&format!("LOGIN user{} secret", n % users));
                    if !answer.starts_with("a OK") {
                        let words: Vec<&str> = answer.split(' ').take(3).collect();
                        *refused.lock().unwrap().entry(words.join(" ")).or_default() += 1;
                        continue;
                    }
                    std::thread::sleep(Duration::from_millis((luck % 300) as u64));
                    if luck % 3 == 0 {
                        client.command("LOGOUT");
                    }
                }
            });
        }
    });
    let logins = site.census.logins.load(Ordering::Relaxed);
    let torn = site.census.torn.lock().unwrap();
    let refused = refused.lock().unwrap();
    println!(
        "{gateways} gateways, {users} users, {seconds} s: {logins} logins, {} on two hosts, refused {refused:?}",
        torn.len()
    );
    assert!(
        !refused
            .keys()
            .any(|words| words.contains("AUTHENTICATIONFAILED")),
        "{refused:?}"
    );
    let away = |it: &Gateway| it.log().contains("event=state_away");
    if running.iter().any(away) {
        println!("a gateway missed its Redis: not judged");
        return false;
    }
    assert_eq!(*torn, Vec::<String>::new());
    assert!(logins > users as u64, "{logins}, refused {refused:?}");
    true
}

#[test]
fn a_redis_that_goes_away_is_missed_and_comes_back() {
    needs!(REDIS);
    let scratch = Scratch::new();
    let mut redis = Redis::start(&scratch);
    let site = Site::new(3);
    let folders = [Scratch::new(), Scratch::new()];
    let gateways: Vec<Gateway> = folders
        .iter()
        .map(|folder| site.settings(&redis.url()).start(folder, &Pki::new(folder)))
        .collect();
    let [one, two] = [gateways[0].ports, gateways[1].ports];
    ask(one.admin, "POST", "/api/v1/move", &moved("carol"));
    wait_for("the move on the other gateway", || {
        get(two.admin, "/api/v1/moves")["moves"][0]["user"] == "carol"
    });
    let carol = Client::logged_in(two.imap, "carol");
    assert_eq!(site.census.of("carol"), [2]);
    // Asked for on one gateway, live on the other.
    let (status, answer) = ask(one.admin, "DELETE", "/api/v1/moves/carol", &Value::Null);
    assert_eq!(status, 200, "{answer}");
    assert!(carol.rest().contains("* BYE"));
    ask(two.admin, "POST", "/api/v1/move", &moved("dora"));
    wait_for("the move on the other gateway", || {
        let moves = get(one.admin, "/api/v1/moves");
        moves["moves"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it["user"] == "dora")
    });
    redis.stop();
    let all_are = |want: Link| gateways.iter().all(|it| link_is(it, want));
    wait_for("the metric", || all_are(Link::Away));
    let (status, ready) = admin_get(one.admin, "/readyz").unwrap();
    assert!(status == 200 && ready.contains("state"), "{ready}");
    // Goes on with what it knows.
    let dora = Client::logged_in(one.imap, "dora");
    assert_eq!(site.census.of("dora"), [2]);
    let (status, answer) = ask(one.admin, "POST", "/api/v1/move", &moved("eve"));
    assert_eq!(status, 409, "{answer}");
    assert!(
        answer["error"].as_str().unwrap().contains("Redis"),
        "{answer}"
    );
    redis.again();
    wait_for("the metric", || all_are(Link::Up));
    // What this one held is known to all again.
    let frank = Client::logged_in(two.imap, "dora");
    drop((dora, frank));
    let (status, answer) = ask(one.admin, "POST", "/api/v1/move", &moved("eve"));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(*site.census.torn.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_redis_that_answers_nonsense_or_nothing_holds_nobody_up() {
    for nonsense in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"",
        b"$999999999999\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.write_all(nonsense);
                kept.push(stream);
            }
        });
        let (scratch, site) = (Scratch::new(), Site::new(2));
        let state = format!("\"redis://127.0.0.1:{port}/0\"");
        let mut gateway = site.settings(&state).start(&scratch, &Pki::new(&scratch));
        drop(Client::logged_in(gateway.ports.imap, "alice"));
        let (status, answer) = ask(gateway.ports.admin, "POST", "/api/v1/move", &moved("alice"));
        assert_eq!(status, 409, "{answer}");
        gateway.logged(&["event=state_away"]);
    }
}

#[test]
fn over_tls_a_redis_is_believed_only_with_a_certificate() {
    needs!(REDIS);
    let certificates = Scratch::new();
    let pki = Pki::new(&certificates);
    for (pair, believed) in [
        ((pki.cert.clone(), pki.key.clone()), true),
        (pki.self_signed.clone(), false),
        (pki.other_name.clone(), false),
    ] {
        let scratch = Scratch::new();
        let redis = Redis::start_with(&scratch, Some(pair));
        let site = Site::new(2);
        let settings = site
            .settings(&redis.url())
            .env("SSL_CERT_FILE", pki.ca.to_str().unwrap());
        let mut gateway = settings.start(&scratch, &pki);
        let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
        drop(Client::logged_in(imap, "alice"));
        let (status, answer) = ask(admin, "POST", "/api/v1/move", &moved("alice"));
        assert_eq!(status, if believed { 200 } else { 409 }, "{answer}");
        if believed {
            drop(Client::logged_in(imap, "alice"));
            let told = cli(&["explain", "alice", "--json"], &gateway.config, &pki);
            assert!(told.contains("an operator moved the user to new"), "{told}");
        } else {
            gateway.logged(&["event=state_away"]);
        }
    }
}

fn cli(args: &[&str], config: &std::path::Path, pki: &Pki) -> String {
    let output = Command::new(crate::support::gateway::binary())
        .args(args)
        .arg("-c")
        .arg(config)
        .env("SSL_CERT_FILE", &pki.ca)
        .output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn gateways_with_a_redis_count_sessions_and_failures_together() {
    needs!(REDIS);
    let scratch = Scratch::new();
    let redis = Redis::start(&scratch);
    let site = Site::new(2);
    let folders = [Scratch::new(), Scratch::new()];
    let ports = [free_port(), free_port()];
    let running: Vec<Gateway> = { folders.iter().zip(ports) }
        .map(|(folder, port)| {
            site.settings_with(&redis.url(), "per_user: 1000, per_user_ip: 2, per_ip: 3")
                .behind_balancer("imap", port)
                .start(folder, &Pki::new(folder))
        })
        .collect();
    let log_in = |gateway: usize, from: &str, user: &str, password: &str| {
        let family = if from.contains(':') { "TCP6" } else { "TCP4" };
        let to = if from.contains(':') {
            "::1"
        } else {
            "192.0.2.1"
        };
        let header = format!("PROXY {family} {from} {to} 40000 143\r\n");
        let mut client = Client::connect_as(ports[gateway], &header);
        let answer = client.command(&format!("LOGIN {user} {password}"));
        (client, answer)
    };
    let good = |gateway: usize, from: &str, user: &str| log_in(gateway, from, user, ANYBODYS);
    // Two of alice's from one /64, on different gateways: a third is too many on either.
    let one = good(0, "2001:db8:1:1::1", "alice");
    let two = good(1, "2001:db8:1:1::2", "alice");
    assert!(
        one.1.starts_with("a OK") && two.1.starts_with("a OK"),
        "{} {}",
        one.1,
        two.1
    );
    for gateway in [0, 1] {
        let (_, no) = good(gateway, "2001:db8:1:1::3", "alice");
        assert!(no.contains("[LIMIT]"), "{no}");
    }
    // Another user's is the third of that net, and the last.
    let three = good(0, "2001:db8:1:1::4", "bob");
    assert!(three.1.starts_with("a OK"), "{}", three.1);
    let (_, no) = good(1, "2001:db8:1:1::5", "carol");
    assert!(no.contains("[LIMIT]"), "{no}");
    drop((one, two, three));
    // Wrong passwords on one gateway close the window on the other; who is at home there gets in.
    let home = "198.51.100.9";
    assert!(good(0, home, "dora").1.starts_with("a OK"));
    for n in 0..10 {
        let from = format!("203.0.113.{n}");
        let (_, no) = log_in(0, &from, "dora", &format!("wrong{n}"));
        assert!(no.contains("[AUTHENTICATIONFAILED]"), "{no}");
    }
    let mut tries = 0;
    wait_for("the window on the other gateway", || {
        tries += 1;
        let from = format!("203.0.113.{}", 100 + tries % 100);
        let (_, no) = log_in(1, &from, "dora", "wrong9");
        no.contains("[LIMIT]")
    });
    let (_, yes) = good(1, home, "dora");
    assert!(yes.starts_with("a OK"), "{yes}");
    drop(running);
}

/// A Redis that is slow for a moment: gateways take another name there, and all that their sessions hold
/// must be known under it, that of sessions which began meanwhile, too.
#[test]
fn what_sessions_hold_outlives_a_pause_of_the_redis() {
    needs!(REDIS);
    let scratch = Scratch::new();
    let redis = Redis::start(&scratch);
    let site = Site::new(2);
    let folders = [Scratch::new(), Scratch::new()];
    let gateways: Vec<Gateway> = { folders.iter() }
        .map(|folder| {
            site.settings_with(&redis.url(), "per_user: 2, per_user_ip: 2")
                .backend("locked", "{ hosts: [demo://], pop3: { lock: true } }")
                .user("demo", "locked")
                .start(folder, &Pki::new(folder))
        })
        .collect();
    let [one, two] = [gateways[0].ports, gateways[1].ports];
    let pop3 = |port: u16| {
        let mut client = Client::connect(port);
        let _ = write!(client.stream, "USER demo\r\nPASS demo\r\n");
        client.line();
        let answer = client.line();
        (client, answer)
    };
    let times = |gateway: &Gateway, event: &str| gateway.log().matches(event).count();
    // Two for each user; of a maildrop that is locked, one.
    let alice = [one, two].map(|ports| Client::logged_in(ports.imap, "alice"));
    let (demo, welcome) = pop3(one.pop3);
    assert!(welcome.starts_with("+OK"), "{welcome}");
    let refused = || {
        let mut client = Client::connect(two.imap);
        let no = client.command("LOGIN alice secret");
        assert!(no.contains("[LIMIT]"), "{no}");
        let (_, no) = pop3(two.pop3);
        assert!(no.starts_with("-ERR [IN-USE]"), "{no}");
    };
    refused();
    redis.pause(Duration::from_secs(4));
    wait_for("both to miss it", || {
        gateways.iter().all(|it| times(it, "event=state_away") > 0)
    });
    let bob = [one, two].map(|ports| Client::logged_in(ports.imap, "bob"));
    wait_for("both to be back", || {
        gateways.iter().all(|it| {
            let log = it.log();
            let last = |event| log.rfind(event);
            last("event=state_up") > last("event=state_away") && link_is(it, Link::Up)
        })
    });
    refused();
    let mut client = Client::connect(two.imap);
    let no = client.command("LOGIN bob secret");
    assert!(no.contains("[LIMIT]"), "{no}");
    // What is given back under the new name is free.
    drop((alice, bob, demo));
    wait_for("alice's place", || {
        let mut client = Client::connect(two.imap);
        client.command("LOGIN alice secret").starts_with("a OK")
    });
    wait_for("the maildrop", || pop3(two.pop3).1.starts_with("+OK"));
}
