//! Operators order hosts and users about, on one gateway and on several that share a Redis: no user has
//! sessions on two hosts at once, orders survive a restart, and what is wrong is told.
//!
//! `GATEPOST_DIRECTOR=full` runs the long forms: four gateways for a minute, fifty thousand moves.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gateway::{Settings, admin_get};
use crate::support::need::{Need, needs, unpacked};
use crate::support::pki::Pki;
use crate::support::process::Running;
use crate::support::scratch::free_port;
use crate::support::{Gateway, Scratch};

fn full() -> bool {
    std::env::var_os("GATEPOST_DIRECTOR").is_some_and(|value| value == "full")
}

/// Who has how many sessions where, as the hosts see it.
#[derive(Default)]
struct Census {
    live: Mutex<HashMap<String, HashMap<usize, u32>>>,
    torn: Mutex<Vec<String>>,
    logins: AtomicU64,
}

impl Census {
    fn enter(&self, user: &str, host: usize) {
        let mut live = self.live.lock().unwrap();
        let on = live.entry(user.to_owned()).or_default();
        *on.entry(host).or_default() += 1;
        self.logins.fetch_add(1, Ordering::Relaxed);
        if on.len() > 1 {
            self.torn.lock().unwrap().push(format!("{user}: {on:?}"));
        }
    }

    fn leave(&self, user: &str, host: usize) {
        let mut live = self.live.lock().unwrap();
        let on = live.get_mut(user).unwrap();
        let count = on.get_mut(&host).unwrap();
        *count -= 1;
        if *count == 0 {
            on.remove(&host);
        }
    }

    /// The hosts a user is on.
    fn of(&self, user: &str) -> Vec<usize> {
        let live = self.live.lock().unwrap();
        live.get(user)
            .map_or_else(Vec::new, |on| on.keys().copied().collect())
    }
}

/// An IMAP host that counts, and that may be away: then it takes no new connections, those it has go on.
struct Host {
    port: u16,
    up: Arc<AtomicBool>,
}

impl Host {
    fn start(number: usize, census: &Arc<Census>) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let up = Arc::new(AtomicBool::new(true));
        let (is_up, census) = (up.clone(), census.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, census) = (stream.unwrap(), census.clone());
                if is_up.load(Ordering::Relaxed) {
                    std::thread::spawn(move || serve(stream, number, &census));
                }
            }
        });
        Host { port, up }
    }
}

fn serve(mut stream: TcpStream, host: usize, census: &Census) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let _ = write!(stream, "* OK [CAPABILITY IMAP4rev1] here\r\n");
    let mut line = String::new();
    let mut user = None;
    while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let tag = words.first().copied().unwrap_or("*");
        let word = words.get(1).map(|word| word.to_ascii_uppercase());
        let answer = match word.as_deref() {
            Some("CAPABILITY") => format!("* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n"),
            Some("LOGIN") => {
                let name = words[2].trim_matches('"').to_owned();
                census.enter(&name, host);
                user = Some(name);
                format!("{tag} OK in\r\n")
            }
            Some("NOOP") => format!("{tag} OK done\r\n"),
            Some("LOGOUT") => format!("* BYE\r\n{tag} OK bye\r\n"),
            _ => format!("{tag} BAD unknown\r\n"),
        };
        if stream.write_all(answer.as_bytes()).is_err() || word.as_deref() == Some("LOGOUT") {
            break;
        }
        line.clear();
    }
    if let Some(user) = user {
        census.leave(&user, host);
    }
}

/// A mail client that shows what it hears.
struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let mut client = Client { stream, reader };
        client.line();
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.reader.read_line(&mut line);
        line
    }

    /// A command, and the line that ends its answer; empty where the connection ended.
    fn command(&mut self, command: &str) -> String {
        let _ = write!(self.stream, "a {command}\r\n");
        loop {
            let line = self.line();
            if line.is_empty() || line.starts_with("a ") {
                return line;
            }
        }
    }

    fn logged_in(port: u16, user: &str) -> Client {
        let mut client = Client::connect(port);
        let answer = client.command(&format!("LOGIN {user} secret"));
        assert!(answer.starts_with("a OK"), "{user}: {answer}");
        client
    }

    /// All that is still said, to the end.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        let _ = self.reader.read_to_string(&mut rest);
        rest
    }
}

/// A request on the admin port: status and answer.
fn ask(port: u16, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn get(port: u16, path: &str) -> Value {
    let (status, body) = admin_get(port, path).unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "waited for {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Site {
    census: Arc<Census>,
    hosts: Vec<Host>,
}

impl Site {
    fn new(hosts: usize) -> Site {
        let census = Arc::default();
        let hosts = (0..hosts).map(|number| Host::start(number, &census));
        Site {
            hosts: hosts.collect(),
            census: census.clone(),
        }
    }

    /// Backend `old` of all hosts but the last, `new` of the last; everybody is on `old`.
    fn settings(&self, state: &str) -> Settings {
        let all = self.hosts.iter().enumerate();
        let mut all: Vec<String> = all
            .map(|(n, host)| format!("{{ name: h{n}, imap: \"imap://127.0.0.1:{}\" }}", host.port))
            .collect();
        let last = all.pop().unwrap();
        let health = "health: { interval: 200ms, timeout: 2s, rise: 1, fall: 1 }, retry_for: 3s";
        Settings::new()
            .backend(
                "old",
                format!("{{ hosts: [{}], {health} }}", all.join(", ")),
            )
            .backend("new", format!("{{ hosts: [{last}], {health} }}"))
            .user("\"*\"", "old")
            .user(
                "\"@mapped.example\"",
                "{ backend: old, login: \"{local}\" }",
            )
            .limits("per_user: 1000, per_user_ip: 1000")
            .log("level: info")
            .top(&format!("state: {state}"))
    }
}

const REDIS: Need = Need::Venv("redis");

/// A Redis of the test's own.
struct Redis {
    running: Option<Running>,
    port: u16,
    log: PathBuf,
}

impl Redis {
    fn start(scratch: &Scratch) -> Redis {
        let mut redis = Redis {
            running: None,
            port: free_port(),
            log: scratch.join("redis.log"),
        };
        redis.again();
        redis
    }

    fn again(&mut self) {
        let root = unpacked("redis").join("usr");
        let mut command = Command::new(root.join("bin/redis-server"));
        command
            .env("LD_LIBRARY_PATH", root.join("lib/x86_64-linux-gnu"))
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--requirepass", "redis-secret"]);
        let mut running = Running::start("redis", &command, &self.log);
        running.wait_for_port(self.port);
        self.running = Some(running);
    }

    fn stop(&mut self) {
        self.running.take().unwrap().stop();
    }

    fn url(&self) -> String {
        format!(
            "{{ url: \"redis://127.0.0.1:{}/0\", password: redis-secret }}",
            self.port
        )
    }
}

fn moved(user: &str) -> Value {
    json!({ "user": user, "backend": "new" })
}

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

#[test]
fn logins_wait_while_their_user_is_held() {
    let (scratch, site) = (Scratch::new(), Site::new(2));
    let gateway = site.settings("memory").start(&scratch, &Pki::new(&scratch));
    let (imap, admin) = (gateway.ports.imap, gateway.ports.admin);
    let (status, _) = ask(admin, "POST", "/api/v1/hold", &json!({"user": "alice"}));
    assert_eq!(status, 200);
    assert_eq!(get(admin, "/api/v1/moves")["holds"][0]["user"], "alice");
    let waiting = std::thread::spawn(move || drop(Client::logged_in(imap, "alice")));
    drop(Client::logged_in(imap, "bob"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished());
    let (status, _) = ask(admin, "POST", "/api/v1/release", &json!({"user": "ALICE"}));
    assert_eq!(status, 200);
    waiting.join().unwrap();
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

#[test]
fn gateways_with_a_redis_never_let_a_user_in_on_two_hosts() {
    needs!(REDIS);
    let scratch = Scratch::new();
    let redis = Redis::start(&scratch);
    let site = Site::new(4);
    let (gateways, users, seconds) = if full() { (4, 200, 60) } else { (2, 40, 6) };
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
    assert_eq!(*torn, Vec::<String>::new());
    assert!(logins > 10 * users as u64, "{logins}, refused {refused:?}");
    assert!(
        !refused
            .keys()
            .any(|words| words.contains("AUTHENTICATIONFAILED")),
        "{refused:?}"
    );
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
    let up = |admin: u16, want: &str| {
        let metrics = admin_get(admin, "/metrics").unwrap().1;
        metrics.contains(&format!("gatepost_state_up {want}"))
    };
    wait_for("the metric", || up(one.admin, "0") && up(two.admin, "0"));
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
    wait_for("the metric", || up(one.admin, "1") && up(two.admin, "1"));
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
        let gateway = site.settings(&state).start(&scratch, &Pki::new(&scratch));
        drop(Client::logged_in(gateway.ports.imap, "alice"));
        let (status, answer) = ask(gateway.ports.admin, "POST", "/api/v1/move", &moved("alice"));
        assert_eq!(status, 409, "{answer}");
        assert!(gateway.log().contains("state_away"), "{}", gateway.log());
    }
}
