//! What the kernel may refuse: errors put in place of system calls by strace. Every client is served
//! in the end, and a connection that cannot be made is a host that cannot be reached, no more.

use std::process::{Command, Stdio};

use crate::support::gateway::{Settings, admin_get};
use crate::support::imap::Way;
use crate::support::need::{Need, needs, skip};
use crate::support::pki::Pki;
use crate::support::{Gateway, Imap, Scratch};

/// The file of a scratch directory where strace writes.
const TRACE: &str = "trace";

/// A gateway whose system calls fail as told, and a trace of all of them with their times; none, with a word
/// about it, where tracing is not allowed (a failure where it is required). It is strace's parent, so that it is the one that is started and ended.
fn gateway(inject: &str, to: &str, scratch: &Scratch) -> Option<Gateway> {
    let tried = Command::new("strace")
        .args(["-D", "-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        skip("leave to trace, which strace needs");
        return None;
    }
    let call = inject.split(':').next().unwrap();
    let (trace, inject) = (format!("trace={call}"), format!("inject={inject}"));
    let file = scratch.join(TRACE).display().to_string();
    let strace = [
        "strace", "-D", "-f", "-qq", "-ttt", "-o", &file, "-e", &trace, "-e", &inject,
    ];
    let settings = Settings::new()
        .backend(
            "store",
            format!("{{ hosts: [\"{to}\"], health: none, retry_for: 0s }}"),
        )
        .user("\"*\"", "store")
        .log("level: info")
        // One thread: strace counts the calls of each by itself.
        .top("threads: 1")
        .under(&strace);
    Some(settings.start(scratch, &Pki::new(scratch)))
}

fn log_in(gateway: &Gateway) -> String {
    let mut imap = Imap::plain(gateway.ports.imap);
    let status = imap.login(Way::LoginQuoted, "demo", "demo").status;
    imap.command("LOGOUT");
    status
}

#[test]
fn accept_that_fails_turns_nobody_away() {
    needs!(Need::Program("strace"));
    for error in [
        "EMFILE",
        "ENFILE",
        "ENOBUFS",
        "ENOMEM",
        "ECONNABORTED",
        "EPERM",
    ] {
        let scratch = Scratch::new();
        // Every other call, the ones of the admin port among them.
        let inject = format!("accept4:error={error}:when=2+2");
        let Some(gateway) = gateway(&inject, "demo://", &scratch) else {
            return;
        };
        for _ in 0..10 {
            let status = log_in(&gateway);
            assert!(status.starts_with("OK"), "{error}: {status}");
        }
        let (_, metrics) = admin_get(gateway.ports.admin, "/metrics").unwrap();
        let counted: f64 = { metrics.lines() }
            .filter(|line| line.starts_with("gatepost_accept_errors_total{"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        assert!(counted > 0.0, "{error} was not counted: {metrics}");
    }
}

/// While the machine has no descriptor for anybody each listener asks some ten times in a second, not as often as it can.
#[test]
fn accept_rests_while_it_fails() {
    needs!(Need::Program("strace"));
    const RUN: usize = 60;
    /// How long a listener rests; the admin port does so for longer.
    const REST: f64 = 0.1;
    for error in ["EMFILE", "ENOBUFS"] {
        let scratch = Scratch::new();
        // Behind what it takes to be ready.
        let inject = format!("accept4:error={error}:when=21..{}", 20 + RUN);
        let Some(gateway) = gateway(&inject, "demo://", &scratch) else {
            return;
        };
        // Times of the calls that failed.
        let failed = || -> Vec<f64> {
            let trace = std::fs::read_to_string(scratch.join(TRACE)).unwrap();
            let failed = trace.lines().filter(|line| line.ends_with("(INJECTED)"));
            // A number of the thread, the time, the call.
            let at = failed.filter_map(|line| line.split_whitespace().nth(1)?.parse().ok());
            at.collect()
        };
        let mut logins = 0;
        while failed().len() < RUN {
            let status = log_in(&gateway);
            assert!(status.starts_with("OK"), "{error}: {status}");
            logins += 1;
            assert!(logins < 100, "{error}: {:?}", failed());
        }
        let failed = failed();
        assert_eq!(failed.len(), RUN, "{error}");
        let took = failed[RUN - 1] - failed[0];
        // At most two listeners were asked: the one of the logins, the admin port's.
        let most = 2.0 * (1.0 + took / REST);
        assert!(
            RUN as f64 <= most,
            "{error}: {RUN} calls in {took:.2} s, {most:.0} may be"
        );
    }
}

#[test]
fn a_connection_that_cannot_be_made_is_a_host_that_is_away() {
    needs!(Need::Program("strace"));
    let (host_scratch, host) = (Scratch::new(), "demo://");
    let store = Gateway::to(host, &host_scratch, &Pki::new(&host_scratch));
    let url = format!("imap://127.0.0.1:{}", store.ports.imap);
    for error in [
        "EMFILE",
        "ENOBUFS",
        "ENETUNREACH",
        "EADDRNOTAVAIL",
        "ECONNREFUSED",
        "ETIMEDOUT",
    ] {
        let scratch = Scratch::new();
        let Some(gateway) = gateway(&format!("connect:error={error}:when=1..2"), &url, &scratch)
        else {
            return;
        };
        // A host that was not reached is asked again within half a second.
        let mut away = 0;
        loop {
            let status = log_in(&gateway);
            if status.starts_with("OK") {
                break;
            }
            assert!(status.starts_with("NO [UNAVAILABLE]"), "{error}: {status}");
            away += 1;
            assert!(away < 600, "{error}: it never goes on");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert!(away > 0, "{error} was not told");
        let status = log_in(&gateway);
        assert!(status.starts_with("OK"), "{error}: {status}");
    }
}
