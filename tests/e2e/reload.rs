//! New settings while mail is served: what changes, what stays, and what is refused.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::support::gateway::{Gateway, Ports, Settings, admin_get, cli};
use crate::support::imap::Way;
use crate::support::pki::Pki;
use crate::support::scratch::free_port;
use crate::support::users::ANYBODYS;
use crate::support::wire::Conn;
use crate::support::{BOB, Imap, Scratch, scripted};

/// A gateway whose proxy.yaml is written anew.
pub(super) struct Play {
    pub(super) gateway: Gateway,
    pub(super) file: PathBuf,
    pki: Pki,
    scratch: Scratch,
}

impl Play {
    pub(super) fn new(settings: &Settings) -> Play {
        let scratch = Scratch::new();
        let pki = Pki::new(&scratch);
        let ports = Ports::free();
        let file = scratch.write("proxy.yaml", settings.yaml(&ports, &pki));
        Play {
            gateway: Gateway::run(&file, ports, &scratch),
            file,
            pki,
            scratch,
        }
    }

    /// The text of these settings, for this gateway.
    fn yaml(&self, settings: &Settings) -> String {
        settings.yaml(&self.gateway.ports, &self.pki)
    }

    /// Writes them, whole at once: the watch may come before the reload that is asked for.
    pub(super) fn write(&self, settings: &Settings) {
        replace(&self.file, &self.yaml(settings));
    }

    /// Writes and reloads; what changed.
    #[track_caller]
    pub(super) fn reload(&mut self, settings: &Settings) -> Vec<String> {
        let seen = self.gateway.log().len();
        self.write(settings);
        let (status, told) = self.gateway.reload();
        assert_eq!(status, 200, "{told:#}");
        // Should the machine be slow, the watch was here first, and nothing was left to change: all
        // that was logged up to the answer is what changed.
        let mut log = String::new();
        let gateway = &mut self.gateway;
        let path = gateway.log_path();
        gateway.wait_until("the reload in the log", || {
            let all = fs::read_to_string(&path).unwrap_or_default();
            log = all.get(seen..).unwrap_or_default().to_owned();
            log.lines().any(|line| {
                line.contains("event=reload result=ok by=admin") && line.contains("took=")
            })
        });
        let reloads = log
            .lines()
            .filter(|line| line.contains("event=reload result=ok"));
        let mut changed: Vec<String> = reloads
            .filter_map(|line| line.split("changed=").nth(1))
            .map(|rest| match rest.strip_prefix('"') {
                Some(rest) => rest.split('"').next().unwrap_or_default(),
                None => rest.split(' ').next().unwrap_or_default(),
            })
            .flat_map(|list| list.split(", ").map(str::to_owned))
            .filter(|change| change != "nothing")
            .collect();
        changed.sort();
        changed
    }

    /// Which host a new session lands on.
    #[track_caller]
    pub(super) fn lands_on(&self) -> String {
        // Always another user: one who logs in where the map now says ends what is elsewhere.
        static USERS: AtomicUsize = AtomicUsize::new(0);
        let user = format!("lander{}", USERS.fetch_add(1, Relaxed));
        let mut imap = Imap::plain(self.gateway.ports.imap);
        imap.login(Way::LoginQuoted, &user, ANYBODYS).ok();
        host_of(&mut imap)
    }

    fn metrics(&self) -> String {
        admin_get(self.gateway.ports.admin, "/metrics").unwrap().1
    }

    /// Waits until new sessions land on this host.
    fn wait_until_on(&mut self, host: &str) {
        let port = self.gateway.ports.imap;
        self.gateway.wait_until(&format!("sessions on {host}"), || {
            host_of(&mut Imap::logged_in(port, BOB)) == host
        });
    }
}

/// Puts another file in the place of one, as `mv` does.
pub(super) fn replace(file: &Path, text: &str) {
    let aside = file.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(&aside, file).unwrap();
}

/// The host at the far end of a session says its name.
pub(super) fn host_of(imap: &mut Imap) -> String {
    let said = imap.command("NOOP").ok().text();
    let name = said
        .strip_prefix("* OK [")
        .and_then(|it| it.split(']').next());
    name.unwrap_or_else(|| panic!("{said:?}")).to_owned()
}

pub(super) fn to(port: u16) -> String {
    format!("imap://127.0.0.1:{port}")
}

#[test]
fn sessions_keep_what_they_began_with_and_new_ones_have_what_is_new() {
    let (a, b) = (scripted::imap_named("a"), scripted::imap_named("b"));
    let old = Settings::new().backend("old", to(a)).user("\"*\"", "old");
    let new = Settings::new()
        .backend("new", to(b))
        .user("\"*\"", "new")
        .limits("per_user: 3");
    let mut play = Play::new(&old);
    assert!(play.reload(&old).is_empty(), "nothing is different");
    let mut early = Imap::logged_in(play.gateway.ports.imap, BOB);
    // Greeted under the old settings: it goes by them to its end.
    let mut greeted = Imap::plain(play.gateway.ports.imap);
    let changed = play.reload(&new);
    let want = [
        "backend new added",
        "backend old removed",
        "limits changed",
        "users changed",
    ];
    assert_eq!(changed, want);
    assert_eq!(play.lands_on(), "b");
    assert_eq!(host_of(&mut early), "a");
    greeted.login(Way::LoginQuoted, BOB.name, BOB.password).ok();
    assert_eq!(host_of(&mut greeted), "a");

    // Both count as long as they live, and leave no series behind.
    let sessions = "gatepost_sessions{protocol=\"imap\",backend=\"old\"}";
    assert!(
        play.metrics().contains(&format!("{sessions} 2")),
        "{}",
        play.metrics()
    );
    drop((early, greeted));
    let port = play.gateway.ports.admin;
    play.gateway
        .wait_until("the old backend's series to go", || {
            let (_, metrics) = admin_get(port, "/metrics").unwrap();
            !metrics.contains("backend=\"old\"")
        });
    assert!(
        !play
            .metrics()
            .contains("gatepost_reloads_total{result=\"ok\"} 0")
    );
}

#[test]
fn listeners_come_and_go_and_the_others_do_not_notice() {
    let a = scripted::imap_named("a");
    let (first, second) = (free_port(), free_port());
    let with = |listeners: &[String]| {
        let settings = Settings::to(to(a));
        let add = |settings: Settings, listener: &String| settings.listener(listener);
        listeners.iter().fold(settings, add)
    };
    let clear = |port: u16, more: &str| {
        format!(
            "{{ bind: \"imap://127.0.0.1:{port}\", name: n{port}, cleartext_login: true{more} }}"
        )
    };
    let mut play = Play::new(&with(&[]));
    let mut steady = Imap::logged_in(play.gateway.ports.imap, BOB);

    let changed = play.reload(&with(&[clear(first, ""), clear(second, "")]));
    let mut want = [first, second].map(|n| format!("listener n{n} added"));
    want.sort();
    assert_eq!(changed, want);
    let mut on_first = Imap::logged_in(first, BOB);
    let mut greeted = Imap::plain(first);
    Imap::logged_in(second, BOB);

    // The socket stays; what it offers is another thing for the next one.
    let changed = play.reload(&with(&[
        clear(first, ", greeting: \"New here\""),
        clear(second, ""),
    ]));
    assert_eq!(changed, [format!("listener n{first} changed")]);
    assert!(Conn::plain(first).text().ends_with("New here"));

    // Its sessions go on when it is gone, those before login too.
    let changed = play.reload(&with(&[clear(second, "")]));
    assert_eq!(changed, [format!("listener n{first} removed")]);
    assert!(TcpStream::connect(("127.0.0.1", first)).is_err());
    assert_eq!(host_of(&mut on_first), "a");
    greeted.login(Way::LoginQuoted, BOB.name, BOB.password).ok();
    assert_eq!(host_of(&mut greeted), "a");
    let label = format!("listener=\"n{first}\"");
    assert!(!play.metrics().contains(&label), "{}", play.metrics());

    // From an address to all of them, on the same port, and to TLS from the first byte.
    let changed = play.reload(&with(&[format!(
        "{{ bind: \"imaps://0.0.0.0:{second}\", name: wide }}"
    )]));
    assert_eq!(
        changed,
        [
            "listener n".to_owned() + &second.to_string() + " removed",
            "listener wide added".into()
        ]
    );
    let mut imap = Imap::tls(second);
    imap.login(Way::LoginQuoted, BOB.name, BOB.password).ok();
    assert_eq!(host_of(&mut steady), "a");
    let path = play.gateway.log_path();
    play.gateway.wait_until("the two that left", || {
        let log = fs::read_to_string(&path).unwrap_or_default();
        log.matches("event=session_end").count() == 2
    });
}

#[test]
fn what_the_system_refuses_changes_nothing() {
    let (a, b) = (scripted::imap_named("a"), scripted::imap_named("b"));
    let play = Play::new(&Settings::to(to(a)));
    let taken = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
    let taken = taken.local_addr().unwrap();
    let free = free_port();
    let listener = |at: &str| format!("imap://{at}");
    for (settings, code, cause, place) in [
        (
            Settings::to(to(b))
                .listener(&listener(&format!("127.0.0.1:{free}")))
                .listener(&listener(&taken.to_string())),
            "E070",
            "another program listens there",
            taken.to_string(),
        ),
        (
            Settings::to(to(b)).log("output: no-such-folder/gatepost.log"),
            "E042",
            "cannot be written",
            "no-such-folder".to_owned(),
        ),
    ] {
        play.write(&settings);
        let (status, problems) = play.gateway.reload();
        assert_eq!(status, 422, "{problems:#}");
        let of_it = |it: &&serde_json::Value| it["code"] == code;
        let problem = problems.as_array().unwrap().iter().find(of_it);
        let problem = problem.unwrap_or_else(|| panic!("no {code}: {problems:#}"));
        // It says where, and the line shows it.
        let line = problem["line"].as_u64().unwrap();
        let text = fs::read_to_string(&play.file).unwrap();
        let line = text.lines().nth(line.checked_sub(1).unwrap() as usize);
        assert!(line.unwrap().contains(&place), "{line:?}: {problems:#}");
        let message = problem["message"].as_str().unwrap();
        assert!(message.contains(cause), "{message}");
        // `check` opens no port, and would find nothing.
        let told = cli(&["reload"], &play.file);
        let told = String::from_utf8(told.stderr).unwrap();
        assert!(told.contains("the old ones stay in use"), "{told}");
        let checks = told.contains("next: `gatepost check`");
        assert_eq!(checks, code != "E070", "{told}");
        assert_eq!(play.lands_on(), "a", "not half of it either");
        assert!(TcpStream::connect(("127.0.0.1", free)).is_err());
    }
}

#[test]
fn every_way_of_changing_files_is_seen() {
    let hosts = ["a", "b", "c", "d", "e", "f"];
    let ports: Vec<u16> = hosts
        .iter()
        .map(|name| scripted::imap_named(name))
        .collect();
    let settings = |at: usize| Settings::to(to(ports[at]));
    let mut play = Play::new(&settings(0));
    assert_eq!(play.lands_on(), "a");
    // Written over, in two goes: what is half there is not taken, or refused and looked at again.
    let text = play.yaml(&settings(1));
    let (one, two) = text.split_at(text.len() / 2);
    fs::write(&play.file, one).unwrap();
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(&play.file)
        .unwrap();
    file.write_all(two.as_bytes()).unwrap();
    play.wait_until_on("b");
    // Renamed over.
    play.write(&settings(2));
    play.wait_until_on("c");
    // Half of it for good, until somebody looks again.
    fs::write(&play.file, one).unwrap();
    play.gateway
        .logged(&["event=reload", "result=failed", "by=file"]);
    assert_eq!(play.lands_on(), "c");
    play.write(&settings(3));
    play.wait_until_on("d");
    // A signal.
    play.write(&settings(4));
    play.gateway.signal("HUP");
    play.wait_until_on("e");
    play.gateway
        .logged(&["event=reload", "result=ok", "by=signal"]);

    // A map file, also one that was not there when it was first named.
    let named = Settings::new()
        .backend("old", to(ports[0]))
        .backend("new", to(ports[5]))
        .top("users_from: [{ file: map.yaml }]")
        .user("\"*\"", "old");
    play.write(&named);
    play.gateway.logged(&["event=reload_problem", "map.yaml"]);
    play.scratch.write("map.yaml", "bob: new\n");
    play.wait_until_on("f");
    play.scratch.write("map.yaml", "bob: old\n");
    play.wait_until_on("a");
}

#[test]
fn a_volume_of_kubernetes_is_swapped() {
    let ports = [scripted::imap_named("a"), scripted::imap_named("b")];
    let scratch = Scratch::new();
    let volume = scratch.dir("volume");
    let pki = Pki::new(&scratch);
    let at = Ports::free();
    let swap = |version: &str, host: u16| {
        let data = scratch.dir(&format!("volume/..{version}"));
        // The certificate is in the volume as well, under the same name each time.
        let tls = "tls: { cert: tls.crt, key: tls.key }";
        let yaml = Settings::to(to(host))
            .without_certificate()
            .top(tls)
            .yaml(&at, &pki);
        fs::write(data.join("proxy.yaml"), yaml).unwrap();
        let (cert, key) = match version {
            "one" => (&pki.cert, &pki.key),
            _ => (&pki.other_name.0, &pki.other_name.1),
        };
        fs::copy(cert, data.join("tls.crt")).unwrap();
        fs::copy(key, data.join("tls.key")).unwrap();
        let link = volume.join("..data_tmp");
        symlink(format!("..{version}"), &link).unwrap();
        fs::rename(link, volume.join("..data")).unwrap();
    };
    swap("one", ports[0]);
    for name in ["proxy.yaml", "tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), volume.join(name)).unwrap();
    }
    let mut gateway = Gateway::run(&volume.join("proxy.yaml"), at, &scratch);
    assert_eq!(host_of(&mut Imap::logged_in(at.imap, BOB)), "a");
    let shown = || Conn::tls(at.imaps).certificate();
    let before = shown();
    swap("two", ports[1]);
    gateway.wait_until("the other host", || {
        host_of(&mut Imap::logged_in(at.imap, BOB)) == "b"
    });
    gateway.wait_until("the other certificate", || shown() != before);
}

#[test]
fn authorities_of_clients_are_read_anew() {
    let a = scripted::imap_named("a");
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let ports = Ports::free();
    let ca = scratch.join("clients.pem");
    fs::copy(&pki.self_signed.0, &ca).unwrap();
    let port = free_port();
    let passwords = scratch.write("passwords", "");
    let settings = Settings::new()
        .asks_for_certificates("imaps", port, &ca)
        .backend(
            "store",
            format!(
                "{{ hosts: [\"{}\"], login_as: {{ master: m, password: p }} }}",
                to(a)
            ),
        )
        .user("\"*\"", "store")
        .top(&format!(
            "authenticate: {{ passwords: {} }}",
            passwords.display()
        ));
    let file = scratch.write("proxy.yaml", settings.yaml(&ports, &pki));
    let mut gateway = Gateway::run(&file, ports, &scratch);
    let welcome = || {
        let client = pki.client.clone();
        // Not believed: the connection ends in the handshake.
        std::panic::catch_unwind(move || Conn::tls_as(port, &client).line_or_end().is_some())
            .unwrap_or(false)
    };
    assert!(!welcome());
    fs::copy(&pki.ca, &ca).unwrap();
    gateway.wait_until("the client's authority", welcome);
}
