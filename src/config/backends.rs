//! `backends:` and `pop3:` from the checked tree.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::check::Report;
use super::node::Mark;
use super::problem::{Code, quoted};
use super::raw::Raw;
use super::rest;
use super::url::{self, HostUrl};
use super::value::{self, Wrong};
use crate::backend::config::{
    Balance, Config, Discover, Failover, ForwardClient, Health, HostConfig, Target, TlsConfig,
    Verify,
};
use crate::backend::master::{Format, Master};
use crate::backend::tls::{Part, faults};
use crate::protocol::Protocol;
use crate::protocol::pop3::config::{Delete, HideDeleted, Lock, MarkSeen, Settings, Sizes};

/// Reads all backends, those with faults as well as can be.
pub(super) fn read(root: Raw<'_>, report: &mut Report<'_>) -> BTreeMap<String, Config> {
    let above = pop3(root.get("pop3"), &Settings::default());
    let authenticate = root.get("authenticate").is_there();
    let mut backends = BTreeMap::new();
    for (name, mark, raw) in root.get("backends").entries() {
        let hosts = hosts(name, mark, raw, report);
        let d = Config::new(name, hosts);
        let config = Config {
            discover: discover(raw.get("discover"), report),
            login_as: login_as(raw.get("login_as"), authenticate, report),
            tls: tls(raw.get("tls"), report),
            balance: match raw.get("balance").text() {
                Some("least-sessions") => Balance::LeastSessions,
                _ => d.balance,
            },
            failover: match raw.get("failover").bool() {
                Some(false) => Failover::No,
                _ => d.failover,
            },
            connect_timeout: raw
                .get("connect_timeout")
                .duration()
                .unwrap_or(d.connect_timeout),
            greeting_timeout: raw
                .get("greeting_timeout")
                .duration()
                .unwrap_or(d.greeting_timeout),
            login_timeout: raw
                .get("login_timeout")
                .duration()
                .unwrap_or(d.login_timeout),
            retry_for: raw.get("retry_for").duration().unwrap_or(d.retry_for),
            health: health(raw.get("health"), report),
            max_sessions: raw.get("max_sessions").count().unwrap_or(d.max_sessions),
            logins_in_flight: raw
                .get("logins_in_flight")
                .count()
                .unwrap_or(d.logins_in_flight),
            protocols: protocols(raw.get("protocols"), report).unwrap_or(d.protocols),
            maintenance: raw.get("maintenance").text().map(Into::into),
            forward_client: match raw.get("forward_client").text() {
                Some("id") => ForwardClient::Id,
                Some("xclient") => ForwardClient::Xclient,
                Some("proxy-v1") => ForwardClient::ProxyV1,
                Some("proxy-v2") => ForwardClient::ProxyV2,
                Some("none") => ForwardClient::None,
                _ => ForwardClient::Auto,
            },
            pop3: pop3(raw.get("pop3"), &above),
            name: d.name,
            hosts: d.hosts,
        };
        match config.uses_tls() {
            true => tried(&config.tls, raw.get("tls"), mark, report),
            false => unused(&config, raw.get("tls"), report),
        }
        backends.insert(name.to_owned(), config);
    }
    backends
}

fn hosts(backend: &str, mark: Mark, raw: Raw<'_>, report: &mut Report<'_>) -> Vec<HostConfig> {
    let items: Vec<Raw<'_>> = match raw.is_map() {
        false if raw.text().is_some() => vec![raw],
        false => raw.items().collect(),
        true => {
            let (hosts, discover) = (raw.get("hosts"), raw.get("discover"));
            match (hosts.is_there(), discover.is_there()) {
                (false, false) => {
                    let message = format!("backend {} has no hosts", quoted(backend));
                    let expected = "expected `hosts`: a list of URLs or maps";
                    report.say(mark, Code::E012, message, expected);
                }
                (true, true) => {
                    let message = "`hosts` and `discover` exclude each other";
                    report.say(
                        discover.mark(),
                        Code::E016,
                        message,
                        "expected one of the two",
                    );
                }
                _ => {}
            }
            hosts.items().collect()
        }
    };
    let mut hosts: Vec<HostConfig> = Vec::new();
    for item in items {
        let Some(host) = host(item, report) else {
            continue;
        };
        if hosts.iter().any(|other| other.name == host.name) {
            let wrong = Wrong::new(Code::E051, "expected a name of its own for each host").help(
                "one server with two protocols is one host: `- { imap: imap://…, pop3: pop3://… }`",
            );
            let message = format!(
                "two hosts of {} are named {}",
                quoted(backend),
                quoted(&host.name)
            );
            report.add(item.mark(), Code::E051, message, wrong);
        }
        hosts.push(host);
    }
    hosts
}

/// A name to find hosts by: neither an address, which is found, nor the built-in store.
fn discover(raw: Raw<'_>, report: &mut Report<'_>) -> Option<Discover> {
    let HostUrl::Mail(endpoint, _) = url::host_url(raw.text()?).ok()? else {
        return None;
    };
    match endpoint.target {
        Target::Network { host, port } if host.parse::<IpAddr>().is_err() => Some(Discover {
            protocol: endpoint.protocol,
            security: endpoint.security,
            name: host,
            port,
        }),
        _ => {
            let wrong = Wrong::new(Code::E020, "expected a name, like `imap://store.mail.svc`")
                .help("hosts that need not be found stand under `hosts`");
            let message = "`discover` finds hosts by a name";
            report.add(raw.mark(), Code::E020, message, wrong);
            None
        }
    }
}

fn host(raw: Raw<'_>, report: &mut Report<'_>) -> Option<HostConfig> {
    if let Some(text) = raw.text() {
        let HostUrl::Mail(endpoint, name) = url::host_url(text).ok()? else {
            return None;
        };
        let mut host = HostConfig {
            name,
            imap: None,
            pop3: None,
            weight: 1,
        };
        match endpoint.protocol {
            Protocol::Imap => host.imap = Some(endpoint),
            Protocol::Pop3 => host.pop3 = Some(endpoint),
        }
        return Some(host);
    }
    if !raw.is_map() {
        return None;
    }
    let mut host = HostConfig {
        name: String::new(),
        imap: None,
        pop3: None,
        weight: raw.get("weight").count().unwrap_or(1),
    };
    let mut authority = None;
    for key in ["imap", "pop3", "submission"] {
        match raw.get(key).text().map(url::host_url) {
            Some(Ok(HostUrl::Mail(endpoint, name))) => {
                authority.get_or_insert(name);
                match key {
                    "imap" => host.imap = Some(endpoint),
                    _ => host.pop3 = Some(endpoint),
                }
            }
            Some(Ok(HostUrl::Submission(name))) => {
                authority.get_or_insert(name);
            }
            Some(Err(_)) | None => {}
        }
    }
    if !["imap", "pop3", "submission"]
        .iter()
        .any(|key| raw.get(key).is_there())
    {
        let expected = "expected `imap`, `pop3` or both, each with a URL";
        report.say(raw.mark(), Code::E012, "the host has no endpoint", expected);
        return None;
    }
    host.name = raw.get("name").text().map(Into::into).or(authority)?;
    Some(host)
}

fn tls(raw: Raw<'_>, report: &mut Report<'_>) -> TlsConfig {
    let verify = match raw.get("verify").bool() {
        Some(false) => Verify::No,
        _ => Verify::Yes,
    };
    let (cert, key) = (raw.get("cert"), raw.get("key"));
    if cert.is_there() != key.is_there() {
        let (there, missing) = match cert.is_there() {
            true => (cert, "`key` is missing"),
            false => (key, "`cert` is missing"),
        };
        report.say(
            there.mark(),
            Code::E012,
            missing,
            "expected both `cert` and `key`",
        );
    }
    TlsConfig {
        ca: raw.get("ca").path(report.base),
        name: raw.get("name").text().map(Into::into),
        verify,
        pins: raw
            .get("pins")
            .items()
            .filter_map(|pin| value::pin(pin.text()?).ok())
            .collect(),
        client: cert.path(report.base).zip(key.path(report.base)),
    }
}

/// Who writes `ca` beside `imap://` believes that TLS is spoken.
fn unused(config: &Config, raw: Raw<'_>, report: &mut Report<'_>) {
    let has_hosts = !config.hosts.is_empty() || config.discover.is_some();
    if raw.is_there() && has_hosts {
        let wrong = Wrong::new(Code::W005, "no host of this backend is reached with TLS")
            .help("write `imaps://` or `imap+starttls://`, or leave `tls` out");
        let message = "all of this backend is clear text, `tls` changes nothing";
        report.add(raw.mark(), Code::W005, message, wrong);
    }
}

/// TLS with the hosts is made once, as at a start: files that can be read may still not be of use.
fn tried(tls: &TlsConfig, raw: Raw<'_>, name: Mark, report: &mut Report<'_>) {
    if tls.verify == Verify::No {
        let (message, expected, help) = match tls.pins.is_empty() {
            true => (
                "the certificates of this backend are not verified",
                "anybody on the way can pose as this backend",
                "name the CA that signed them: `ca: /path/of/ca.pem`",
            ),
            false => (
                "the certificates of this backend are verified by `pins` alone",
                "their names, dates and authorities are not looked at",
                "a host's new key is to be in `pins` before the host shows it",
            ),
        };
        let wrong = Wrong::new(Code::W001, expected).help(help);
        report.add(raw.get("verify").mark(), Code::W001, message, wrong);
    }
    for unfit in faults(tls) {
        let (key, code, expected) = match unfit.part {
            Part::Authorities => ("ca", Code::E041, "expected certificates of authorities"),
            Part::Certificate => ("cert", Code::E041, "expected a certificate and its key"),
            Part::Key => ("key", Code::E041, "expected a certificate and its key"),
            Part::Name => (
                "name",
                Code::E032,
                "expected a name as certificates have it, like `store.example.net`",
            ),
        };
        let at = raw.get(key);
        let mark = if at.is_there() { at.mark() } else { name };
        // What a file does not hold at all is told already.
        if !rest::has_errors_at(report, &[mark]) {
            report.say(mark, code, unfit.text, expected);
        }
    }
}

fn health(raw: Raw<'_>, report: &mut Report<'_>) -> Option<Health> {
    if raw.text() == Some("none") {
        return None;
    }
    let d = Health::default();
    let login = raw.get("login");
    let password = rest::secret(login, "password", "password_file", report);
    if login.is_map() && password.is_none() && !login.get("password_file").is_there() {
        let expected = "expected `password` or `password_file`";
        report.say(login.mark(), Code::E012, "`password` is missing", expected);
    }
    Some(Health {
        interval: raw.get("interval").duration().unwrap_or(d.interval),
        timeout: raw.get("timeout").duration().unwrap_or(d.timeout),
        rise: raw.get("rise").count().unwrap_or(d.rise),
        fall: raw.get("fall").count().unwrap_or(d.fall),
        login: login.get("user").text().map(Into::into).zip(password),
    })
}

fn protocols(raw: Raw<'_>, report: &mut Report<'_>) -> Option<Vec<Protocol>> {
    raw.node()?;
    let known = raw.items().filter_map(|item| match item.text()? {
        "imap" => Some(Protocol::Imap),
        "pop3" => Some(Protocol::Pop3),
        _ => None,
    });
    let list: Vec<Protocol> = known.collect();
    if raw.items().next().is_none() {
        report.say(
            raw.mark(),
            Code::E015,
            "`protocols` is empty",
            "expected at least one",
        );
    }
    Some(list)
}

/// A master login opens every mailbox: without a check of our own it would let anyone in.
fn login_as(raw: Raw<'_>, authenticate: bool, report: &mut Report<'_>) -> Option<Master> {
    let master = raw.get("master");
    if master.is_there() && !authenticate {
        let wrong = Wrong::new(Code::E053, "expected `authenticate` at the top level").help(
            "the master password opens every mailbox; the gateway must check the user's own first",
        );
        let message = "a master login without `authenticate` would let anyone in";
        report.add(master.mark(), Code::E053, message, wrong);
    }
    if !raw.is_map() {
        return None;
    }
    let password = rest::secret(raw, "password", "password_file", report);
    let missing = !raw.get("password").is_there() && !raw.get("password_file").is_there();
    if master.is_there() && missing {
        let expected = "expected `password` or `password_file`";
        report.say(raw.mark(), Code::E012, "`password` is missing", expected);
    }
    match (master.is_there(), raw.get("oauth2").is_there()) {
        (true, true) => {
            let message = "`master` and `oauth2` exclude each other";
            report.say(raw.mark(), Code::E016, message, "expected one of the two");
        }
        (false, false) => {
            let message = "`login_as` names no way to log in";
            report.say(
                raw.mark(),
                Code::E012,
                message,
                "expected `master` or `oauth2`",
            );
        }
        _ => {}
    }
    let format = raw
        .get("format")
        .text()
        .map_or(Ok(Format::default()), Format::new);
    if let Err(expected) = format {
        let message = "the format of the login's name is not well-formed";
        report.say(raw.get("format").mark(), Code::E028, message, expected);
    }
    Some(Master {
        name: master.text()?.to_owned(),
        password: password?,
        format: format.ok()?,
    })
}

/// `pop3:`, here or above.
fn pop3(raw: Raw<'_>, above: &Settings) -> Settings {
    Settings {
        mailbox: raw
            .get("mailbox")
            .text()
            .map_or(above.mailbox.clone(), Into::into),
        uidl: raw
            .get("uidl")
            .text()
            .and_then(|text| value::uidl(text).ok())
            .unwrap_or(above.uidl.clone()),
        mark_seen: match raw.get("mark_seen").text() {
            Some("quit") => MarkSeen::Quit,
            Some("never") => MarkSeen::Never,
            _ => above.mark_seen,
        },
        delete: match raw.get("delete").text() {
            Some("expunge") => Delete::Expunge,
            Some("trash") => Delete::Trash,
            Some("flag") => Delete::Flag,
            _ => above.delete,
        },
        hide_deleted: match raw.get("hide_deleted").bool() {
            Some(true) => HideDeleted::Yes,
            Some(false) => HideDeleted::No,
            None => above.hide_deleted,
        },
        sizes: match raw.get("sizes").text() {
            Some("trust") => Sizes::Trust,
            Some("learn") => Sizes::Learn,
            Some("exact") => Sizes::Exact,
            _ => above.sizes,
        },
        prefetch: raw.get("prefetch").size().unwrap_or(above.prefetch),
        lock: match raw.get("lock").bool() {
            Some(true) => Lock::Yes,
            Some(false) => Lock::No,
            None => above.lock,
        },
    }
}
