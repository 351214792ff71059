//! A certificate that is replaced on disk: the next handshake gets it, no session notices, and a broken
//! one changes nothing but a warning and a metric.
//!
//! `GATEPOST_TIMED=1` holds it to two seconds, on a machine with nothing else to do.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::gateway::{Settings, admin_get};
use crate::support::imap::Way;
use crate::support::wire::Conn;
use crate::support::{Gateway, Imap, Pop3, Scratch, pki::Pki};

/// Whole at once, as those do who look after certificates.
fn replace(file: &Path, content: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, file).unwrap();
}

fn metric(gateway: &Gateway, series: &str) -> String {
    let (_, metrics) = admin_get(gateway.ports.admin, "/metrics").unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_new_one_is_served_to_the_next_handshake_and_a_broken_one_to_nobody() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let mut gateway = Settings::to("demo://").start(&scratch, &pki);
    let ports = gateway.ports;
    let mut imap = Imap::tls(ports.imaps);
    imap.login(Way::PlainInitial, "demo", "demo").ok();
    imap.command("SELECT INBOX").ok();
    let mut upgraded = Imap::plain(ports.imap_strict);
    upgraded.start_tls();
    upgraded.login(Way::PlainInitial, "demo", "demo").ok();
    let mut pop3 = Pop3::tls(ports.pop3s);
    pop3.ok("USER demo");
    pop3.ok("PASS demo");
    let mut unnoticed = || {
        imap.command("NOOP").ok();
        upgraded.command("NOOP").ok();
        pop3.ok("NOOP");
    };
    let shown = |port: u16| Conn::tls(port).certificate();
    let old = shown(ports.imaps);

    let (cert, key) = pki.other_name.clone();
    replace(&pki.key, &fs::read(key).unwrap());
    replace(&pki.cert, &fs::read(cert).unwrap());
    let since = Instant::now();
    gateway.wait_until("the new certificate", || shown(ports.imaps) != old);
    let took = since.elapsed();
    eprintln!("a new certificate is served after {took:?}");
    if std::env::var_os("GATEPOST_TIMED").is_some() {
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    let new = shown(ports.imaps);
    assert_eq!(shown(ports.pop3s), new);
    unnoticed();
    gateway.logged(&["tls_file_swapped"]);

    let failed = "gatepost_certificate_reloads_total{result=\"failed\"}";
    let expiry = "gatepost_certificate_expiry_timestamp_seconds";
    let (failures, ends) = (metric(&gateway, failed), metric(&gateway, expiry));
    assert_eq!(failures, "0");
    assert!(!ends.is_empty());
    let good = fs::read(&pki.cert).unwrap();
    replace(&pki.cert, good.get(..good.len() / 2).unwrap());
    gateway.logged(&[" warn event=tls_file_refused", "stays in use"]);
    gateway.wait_until("the failure among the metrics", || {
        let (_, metrics) = admin_get(ports.admin, "/metrics").unwrap();
        metrics.contains(&format!("{failed} 1"))
    });
    assert_eq!(metric(&gateway, expiry), ends);
    for port in [ports.imaps, ports.pop3s] {
        assert_eq!(shown(port), new);
    }
    unnoticed();
}
