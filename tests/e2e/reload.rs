//! New settings while mail is served: what changes, what stays, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::gateway::{Gateway, Ports, Settings, admin_get};
use crate::support::pki::Pki;
use crate::support::{BOB, Imap, Scratch, scripted};

/// A gateway whose proxy.yaml is written anew.
struct Play {
    gateway: Gateway,
    file: PathBuf,
    pki: Pki,
    scratch: Scratch,
}

impl Play {
    fn new(settings: &Settings) -> Play {
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
    fn write(&self, settings: &Settings) {
        replace(&self.file, &self.yaml(settings));
    }

    /// Writes and reloads; what changed.
    #[track_caller]
    fn reload(&self, settings: &Settings) -> Vec<String> {
        let seen = self.gateway.log().len();
        self.write(settings);
        let (status, told) = self.gateway.reload();
        assert_eq!(status, 200, "{told:#}");
        // Should the machine be slow, the watch was here first, and nothing was left to change.
        let log = self.gateway.log();
        let lines = log.get(seen..).unwrap_or_default().lines();
        let reloads = lines.filter(|line| line.contains("event=reload result=ok"));
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
    fn lands_on(&self) -> String {
        host_of(&mut Imap::logged_in(self.gateway.ports.imap, BOB))
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
fn replace(file: &Path, text: &str) {
    let aside = file.with_extension("new");
    fs::write(&aside, text).unwrap();
    fs::rename(&aside, file).unwrap();
}

/// The host at the far end of a session says its name.
fn host_of(imap: &mut Imap) -> String {
    let said = imap.command("NOOP").ok().text();
    let name = said
        .strip_prefix("* OK [")
        .and_then(|it| it.split(']').next());
    name.unwrap_or_else(|| panic!("{said:?}")).to_owned()
}

fn to(port: u16) -> String {
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
    let play = Play::new(&old);
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
    greeted
        .login(
            crate::support::imap::Way::LoginQuoted,
            BOB.name,
            BOB.password,
        )
        .ok();
    assert_eq!(host_of(&mut greeted), "a");

    // Both count as long as they live, and leave no series behind.
    let sessions = "gatepost_sessions{protocol=\"imap\",backend=\"old\"}";
    assert!(
        play.metrics().contains(&format!("{sessions} 2")),
        "{}",
        play.metrics()
    );
    drop((early, greeted));
    let mut play = play;
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
