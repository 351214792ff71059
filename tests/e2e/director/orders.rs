//! Drain, weight, move, hold: carried out with a goodbye, kept over a restart, refused with a clear word.

use super::other::Other;
use super::store::{REDIS, Redis, in_some_try};
use super::*;
use crate::support::Scratch;
use crate::support::need::needs;
use crate::support::pki::Pki;

#[test]
fn a_user_is_moved_with_a_goodbye_and_back() {
    let (scratch, site) = (Scratch::new(), Site::new(2));
    let gateway = site.settings("memory").start(&scratch, &Pki::new(&scratch));
    let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
    let alice = Client::logged_in(imap, "alice@mapped.example");
    let bob = Client::logged_in(imap, "bob");
    assert_eq!(site.census.of("alice"), [0]);
    // By the address, whatever the login name is.
    let (status, answer) = ask(
        admin,
        "POST",
        "/api/v1/move",
        &moved("Alice@mapped.example"),
    );
    assert_eq!((status, &answer["moved"]), (200, &json!(1)), "{answer}");
    assert!(alice.rest().contains("* BYE"));
    let again = Client::logged_in(imap, "alice@mapped.example");
    assert_eq!(site.census.of("alice"), [1]);
    assert_eq!(site.census.of("bob"), [0]);
    let moves = get(admin, "/api/v1/moves");
    assert_eq!(moves["moves"][0]["user"], "Alice@mapped.example");
    let (status, _) = ask(
        admin,
        "DELETE",
        "/api/v1/moves/alice@mapped.example",
        &Value::Null,
    );
    assert_eq!(status, 200);
    assert!(again.rest().contains("* BYE"));
    drop(Client::logged_in(imap, "alice@mapped.example"));
    assert_eq!(get(admin, "/api/v1/moves")["moves"], json!([]));
    let (status, answer) = ask(admin, "DELETE", "/api/v1/moves/alice", &Value::Null);
    assert_eq!(status, 404, "{answer}");
    drop(bob);
    assert_eq!(*site.census.torn.lock().unwrap(), Vec::<String>::new());
}

/// A login that waits, while others that began later are let in.
fn held_up(site: &Site, imap: u16, user: &str) -> Client {
    let mut waiting = Client::connect(imap);
    waiting.say(&format!("LOGIN {user} secret"));
    for _ in 0..3 {
        drop(Client::logged_in(imap, "bob"));
    }
    assert_eq!(site.census.of(user), Vec::<usize>::new());
    waiting.stream.set_nonblocking(true).unwrap();
    let heard = waiting.stream.peek(&mut [0]);
    let nothing = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    assert!(heard.is_err_and(nothing), "{user} was answered");
    waiting.stream.set_nonblocking(false).unwrap();
    waiting
}

fn let_in(mut waiting: Client) {
    let answer = waiting.answer();
    assert!(answer.starts_with("a OK"), "{answer}");
}

#[test]
fn logins_wait_while_their_user_is_held() {
    let (scratch, site) = (Scratch::new(), Site::new(2));
    let gateway = site.settings("memory").start(&scratch, &Pki::new(&scratch));
    let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
    let (status, _) = ask(admin, "POST", "/api/v1/hold", &json!({"user": "alice"}));
    assert_eq!(status, 200);
    assert_eq!(get(admin, "/api/v1/moves")["holds"][0]["user"], "alice");
    let waiting = held_up(&site, imap, "alice");
    let (status, _) = ask(admin, "POST", "/api/v1/release", &json!({"user": "ALICE"}));
    assert_eq!(status, 200);
    let_in(waiting);
}

#[test]
fn a_login_that_a_hold_ends_says_so_in_the_log() {
    let (scratch, site) = (Scratch::new(), Site::new(2));
    let mut gateway = site.settings("memory").start(&scratch, &Pki::new(&scratch));
    let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
    let (status, _) = ask(admin, "POST", "/api/v1/hold", &json!({"user": "alice"}));
    assert_eq!(status, 200);
    let mut waiting = held_up(&site, imap, "alice");
    // Sooner than after the two minutes it would wait.
    let (status, _) = ask(
        admin,
        "DELETE",
        "/api/v1/sessions?ip=127.0.0.1",
        &Value::Null,
    );
    assert_eq!(status, 200);
    let answer = waiting.answer();
    assert!(
        answer.starts_with(
            "a NO [UNAVAILABLE] this mailbox is being moved, try again in a few minutes ("
        ),
        "{answer}"
    );
    let line = gateway.logged(&["event=login", "user=alice"]);
    assert!(line.contains("result=UNAVAILABLE"), "{line}");
    assert!(
        line.contains("reason=\"the user's logins are held"),
        "{line}"
    );
}

/// Two minutes of hold are not for those who are gone.
#[test]
fn who_leaves_while_its_user_is_held_is_not_kept() {
    let (scratch, site) = (Scratch::new(), Site::new(2));
    let mut gateway = site.settings("memory").start(&scratch, &Pki::new(&scratch));
    let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
    for user in ["alice", "carol"] {
        let (status, _) = ask(admin, "POST", "/api/v1/hold", &json!({"user": user}));
        assert_eq!(status, 200);
        let waiting = held_up(&site, imap, user);
        let stream = waiting.stream.try_clone().unwrap();
        match user {
            "alice" => {
                drop(waiting);
                let socket = socket2::SockRef::from(&stream);
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                drop(stream);
            }
            _ => {
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let said = waiting.rest();
                assert!(said.starts_with("a NO [UNAVAILABLE] "), "{said}");
            }
        }
        let name = format!("user={user}");
        let line = gateway.logged(&["event=login", &name]);
        assert!(line.contains("reason=\"the client left first\""), "{line}");
        let session = line.split(' ').find(|it| it.starts_with("session="));
        let line = gateway.logged(&["event=session_end", session.unwrap()]);
        let reason = ["closed", "reset"][usize::from(user == "alice")];
        let why = format!("ended_by=client reason={reason}");
        assert!(line.contains(&why), "{line}");
    }
}

#[test]
fn a_hold_outlives_a_change_of_the_map_and_is_released_whole() {
    let (scratch, site) = (Scratch::new(), Site::new(3));
    let map = scratch.join("users.yaml");
    let write_map = |to: &str| {
        let text = format!("alice: {to}\na.smith: {{ backend: old, login: alice }}\n");
        std::fs::write(&map, text).unwrap();
    };
    write_map("old");
    let state = format!("file://{}", scratch.join("state").display());
    let settings = site.settings(&state);
    let settings = settings.top("users_from: [{ file: users.yaml }]");
    let gateway = settings.start(&scratch, &Pki::new(&scratch));
    let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
    let order = |order: &str, user: &str| {
        let path = format!("/api/v1/{order}");
        let (status, answer) = ask(admin, "POST", &path, &json!({ "user": user }));
        assert_eq!(status, 200, "{answer}");
    };
    let holds = || get(admin, "/api/v1/moves")["holds"].clone();
    order("hold", "alice");
    assert_eq!(holds().as_array().unwrap().len(), 1);
    write_map("new");
    gateway.reload();
    let waiting = held_up(&site, imap, "alice");
    order("release", "alice");
    let_in(waiting);
    assert_eq!(holds(), json!([]));
    write_map("old");
    gateway.reload();
    drop(Client::logged_in(imap, "alice"));
    // By one name of hers, and by another.
    for (held, released) in [("alice", "a.smith"), ("a.smith", "alice")] {
        order("hold", held);
        let waiting = held_up(&site, imap, "alice");
        order("release", released);
        let_in(waiting);
        assert_eq!(holds(), json!([]));
        drop(Client::logged_in(imap, "a.smith"));
    }
}

/// Found by her name only, as the map leads her elsewhere since: her logins wait all the same, and an
/// operator may let them go on.
#[test]
fn a_user_is_held_on_the_way_back_also_after_a_change_of_the_map() {
    needs!(REDIS);
    in_some_try(|| {
        let (scratch, folder, site) = (Scratch::new(), Scratch::new(), Site::new(3));
        let redis = Redis::start(&scratch);
        let write_map = |to: &str| {
            let map = folder.join("users.yaml");
            std::fs::write(map, format!("alice: {to}\n")).unwrap();
        };
        write_map("old");
        let settings = site.settings(&redis.url());
        let settings = settings.top("users_from: [{ file: users.yaml }]");
        let gateway = settings.start(&folder, &Pki::new(&folder));
        let other = Other::of(&redis.state());
        let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
        let (status, _) = ask(admin, "POST", "/api/v1/move", &moved("alice"));
        wait_for("it to be known", || other.missed() || other.knows_a_move());
        write_map("new");
        gateway.reload();
        if status != 200 || other.missed() {
            return false;
        }
        // One that does not leave.
        let Some((stays, _)) = other.session("alice", "h2") else {
            return false;
        };
        let reasons = || get(admin, "/api/v1/route?user=alice")["reasons"].to_string();
        let is_held = || reasons().contains("the user is being moved");
        let back = || {
            let path = "/api/v1/moves/alice?wait=false";
            let (status, answer) = ask(admin, "DELETE", path, &Value::Null);
            assert_eq!(status, 202, "{answer}");
            let job = format!("/api/v1/moves?job={}", answer["job"]["id"]);
            let over = || get(admin, &job)["job"]["finished"] == true;
            wait_for("the hold, or the end", || is_held() || over());
            let missed = over();
            assert!(!missed || gateway.log().contains("event=state_away"));
            !missed
        };
        if !back() {
            return false;
        }
        let waiting = held_up(&site, imap, "alice");
        let user = json!({"user": "alice"});
        let (status, answer) = ask(admin, "POST", "/api/v1/release", &user);
        assert_eq!(status, 200, "{answer}");
        let_in(waiting);
        assert!(!is_held(), "{}", reasons());
        wait_for("her to be gone", || site.census.of("alice").is_empty());
        if !back() {
            return false;
        }
        let waiting = held_up(&site, imap, "alice");
        other.end(stays);
        let_in(waiting);
        assert_eq!(get(admin, "/api/v1/moves")["moves"], json!([]));
        true
    });
}

#[test]
fn a_drained_host_takes_no_new_users_and_orders_survive_a_restart() {
    let (scratch, site) = (Scratch::new(), Site::new(3));
    let pki = Pki::new(&scratch);
    let state = format!("file://{}", scratch.join("state").display());
    let mut gateway = site.settings(&state).start(&scratch, &pki);
    let admin = gateway.ports.admin;
    let stays = Client::logged_in(gateway.ports.imap, "alice");
    let there = site.census.of("alice")[0];
    let at = format!("/api/v1/backends/old/hosts/h{there}");
    for body in [json!({"state": "drain"}), json!({"weight": 7})] {
        let (status, answer) = ask(admin, "PUT", &at, &body);
        assert_eq!(status, 200, "{answer}");
    }
    let too = Client::logged_in(gateway.ports.imap, "alice");
    assert_eq!(site.census.of("alice"), [there]);
    for n in 0..20 {
        let user = format!("user{n}");
        let _client = Client::logged_in(gateway.ports.imap, &user);
        assert_eq!(site.census.of(&user), [1 - there], "{user}");
    }
    ask(admin, "POST", "/api/v1/move", &moved("carol"));
    ask(admin, "POST", "/api/v1/hold", &json!({"user": "dora"}));
    drop((stays, too));
    gateway.stop();
    drop(gateway);
    let gateway = site.settings(&state).start(&scratch, &pki);
    let admin = gateway.ports.admin;
    let backends = get(admin, "/api/v1/backends");
    let hosts = backends["backends"].as_array().unwrap().iter();
    let old = hosts.clone().find(|it| it["name"] == "old").unwrap();
    let host = &old["hosts"][there];
    assert_eq!(
        (&host["state"], &host["weight"]),
        (&json!("drain"), &json!(7)),
        "{old}"
    );
    let moves = get(admin, "/api/v1/moves");
    assert_eq!(moves["moves"][0]["user"], "carol");
    assert_eq!(moves["holds"][0]["user"], "dora");
    let carol = Client::logged_in(gateway.ports.imap, "carol");
    let alice = Client::logged_in(gateway.ports.imap, "alice");
    assert_eq!(site.census.of("carol"), [2]);
    assert_eq!(site.census.of("alice"), [1 - there]);
    let up = json!({"state": "up"});
    assert_eq!(ask(admin, "PUT", &at, &up).0, 200);
    // The others are sent away at once.
    let other = format!("/api/v1/backends/old/hosts/h{}", 1 - there);
    let drain = json!({"state": "drain", "after": "0s"});
    assert_eq!(ask(admin, "PUT", &other, &drain).0, 200);
    assert!(alice.rest().contains("* BYE"));
    let alice = Client::logged_in(gateway.ports.imap, "alice");
    assert_eq!(site.census.of("alice"), [there]);
    drop((alice, carol));
    assert_eq!(*site.census.torn.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_lost() {
    let (scratch, site) = (Scratch::new(), Site::new(3));
    let pki = Pki::new(&scratch);
    let path = scratch.join("state");
    let state = format!("file://{}", path.display());
    let mut gateway = site.settings(&state).start(&scratch, &pki);
    let admin = gateway.ports.admin;
    ask(admin, "POST", "/api/v1/move", &moved("carol"));
    let list = json!([moved("bob"), {"user": "eve", "backend": "nwe"}, {"user": "x", "backend": "old", "host": "h9"}]);
    let drain = json!({"state": "drain"});
    for (method, path, body, status, words) in [
        (
            "PUT",
            "/api/v1/backends/old/hosts/h",
            &drain,
            404,
            "did you mean h",
        ),
        (
            "PUT",
            "/api/v1/backends/odl/hosts/h0",
            &drain,
            404,
            "did you mean old",
        ),
        (
            "PUT",
            "/api/v1/backends/old/hosts/h0",
            &json!({"state": "drian"}),
            400,
            "expected",
        ),
        (
            "PUT",
            "/api/v1/backends/old/hosts/h0",
            &json!({"state": "drain", "after": "5"}),
            400,
            "30s",
        ),
        (
            "PUT",
            "/api/v1/backends/old/hosts/h0",
            &json!({"weight": -1}),
            400,
            "-1",
        ),
        (
            "POST",
            "/api/v1/move",
            &json!({"user": "bob", "backend": "nwe"}),
            404,
            "did you mean new",
        ),
        (
            "POST",
            "/api/v1/move",
            &json!({"user": "bob", "backend": "new", "host": "h0"}),
            404,
            "h2",
        ),
        (
            "POST",
            "/api/v1/move",
            &json!({"user": "a\r\nb", "backend": "new"}),
            404,
            "name",
        ),
        (
            "POST",
            "/api/v1/move",
            &json!({"usr": "bob", "backend": "new"}),
            400,
            "usr",
        ),
        (
            "POST",
            "/api/v1/move",
            &list,
            404,
            "nobody was moved, 2 moves",
        ),
        ("POST", "/api/v1/hold", &json!({}), 400, "user"),
        (
            "DELETE",
            "/api/v1/moves/bob",
            &Value::Null,
            404,
            "bob is not moved",
        ),
    ] {
        let (got, answer) = ask(admin, method, path, body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(got, status, "{method} {path} {body}: {answer}");
        assert!(error.contains(words), "{method} {path} {body}: {error}");
    }
    let moves = get(admin, "/api/v1/moves");
    assert_eq!(moves["moves"].as_array().unwrap().len(), 1, "{moves}");
    gateway.stop();
    drop(gateway);
    // A damaged file: nothing starts, and the file is as it was.
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let output = crate::support::gateway::cli(&["run"], &scratch.join("proxy.yaml"));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && words.contains("damaged"),
        "{words}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), &good[..good.len() / 2]);
}

#[test]
fn a_long_list_of_moves_is_one_call() {
    let (scratch, site) = (Scratch::new(), Site::new(2));
    let state = format!("file://{}", scratch.join("state").display());
    let gateway = site.settings(&state).start(&scratch, &Pki::new(&scratch));
    let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
    let count = if full() { 50_000 } else { 3_000 };
    let live: Vec<Client> = (0..100)
        .map(|n| Client::logged_in(imap, &format!("user{n}@example.org")))
        .collect();
    let list: Vec<Value> = (0..count)
        .map(|n| moved(&format!("user{n}@example.org")))
        .collect();
    // Nothing is moved by a question that is not understood.
    let one = Value::Array(vec![moved("user0@example.org")]);
    let (status, _) = ask(admin, "POST", "/api/v1/move?wait=perhaps", &one);
    assert_eq!(status, 400);
    assert_eq!(get(admin, "/api/v1/moves")["moves"], json!([]));
    let begun = Instant::now();
    let (status, answer) = ask(admin, "POST", "/api/v1/move", &Value::Array(list));
    println!("{count} users moved in {:?}", begun.elapsed());
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer, json!({"moved": count, "failed": []}));
    for client in live {
        assert!(client.rest().contains("* BYE"));
    }
    let moves = get(admin, "/api/v1/moves");
    assert_eq!(moves["moves"].as_array().unwrap().len(), count);
    assert_eq!(moves["jobs"][0]["finished"], true);
    let _client = Client::logged_in(imap, "user7@example.org");
    assert_eq!(site.census.of("user7@example.org"), [1]);
    // With progress to ask about.
    let list: Vec<Value> = (0..count)
        .map(|n| json!({"user": format!("user{n}@example.org"), "backend": "old"}))
        .collect();
    let (status, answer) = ask(
        admin,
        "POST",
        "/api/v1/move?wait=false",
        &Value::Array(list),
    );
    assert_eq!((status, &answer["job"]["total"]), (202, &json!(count)));
    let progress = format!("/api/v1/moves?job={}", answer["job"]["id"]);
    wait_for("the job's end", || {
        get(admin, &progress)["job"]["finished"] == true
    });
    assert_eq!(get(admin, &progress)["job"]["moved"], count);
}
