//! `limits:` and `timeouts:` from the checked tree.

use super::check::Report;
use super::problem::Code;
use super::raw::Raw;
use super::rest::has_errors_at;
use super::value::Wrong;
use crate::session::{Limits, Timeouts};

/// `limits:`
pub(super) fn limits(root: Raw<'_>, report: &mut Report<'_>) -> Limits {
    let raw = root.get("limits");
    too_many(raw.get("connections"), report);
    let failed = raw.get("failed_logins");
    let d = Limits::default();
    Limits {
        connections: raw.get("connections").count().unwrap_or_else(|| {
            what_the_file_limit_allows().map_or(d.connections, |n| n.min(d.connections))
        }),
        per_ip: raw.get("per_ip").count().unwrap_or(d.per_ip),
        per_user: raw.get("per_user").count().unwrap_or(d.per_user),
        per_user_ip: raw.get("per_user_ip").count().unwrap_or(d.per_user_ip),
        trusted: raw.get("trusted").networks(),
        failed_per_ip: failed.get("per_ip").rate().unwrap_or(d.failed_per_ip),
        failed_per_user: failed.get("per_user").rate().unwrap_or(d.failed_per_user),
        failure_delay: raw
            .get("failure_delay")
            .duration()
            .unwrap_or(d.failure_delay),
        logins_per_session: raw
            .get("logins_per_session")
            .count()
            .unwrap_or(d.logins_per_session),
        bad_commands: raw.get("bad_commands").count().unwrap_or(d.bad_commands),
        line: raw
            .get("line")
            .size()
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(d.line),
    }
}

/// Where descriptors run out first, nobody who waits for a login makes room: new clients do not get in.
fn too_many(connections: Raw<'_>, report: &mut Report<'_>) {
    let (Some(wanted), Some(allowed)) = (connections.count(), what_the_file_limit_allows()) else {
        return;
    };
    if wanted > allowed && !has_errors_at(report, &[connections.mark()]) {
        let files = descriptors_of(wanted);
        let wrong = Wrong::new(
            Code::W006,
            format!("the limit of open files, as it is here, is enough for {allowed}"),
        )
        .help(format!(
            "a service may have another; it needs {files}: `LimitNOFILE={files}` of the unit, `ulimit -n {files}`"
        ));
        let message = "open files may run out before this limit is reached";
        report.add(connections.mark(), Code::W006, message, wrong);
    }
}

/// Descriptors for everything but sessions.
const OTHER_FILES: usize = 256;

/// Descriptors that so many sessions need: two each.
fn descriptors_of(sessions: usize) -> usize {
    sessions.saturating_mul(2).saturating_add(OTHER_FILES)
}

/// The sessions for which there are descriptors.
fn what_the_file_limit_allows() -> Option<usize> {
    let soft = crate::net::descriptors::limit()?;
    Some((soft.saturating_sub(OTHER_FILES) / 2).max(1))
}

/// `timeouts:`
pub(super) fn timeouts(root: Raw<'_>) -> Timeouts {
    let raw = root.get("timeouts");
    let d = Timeouts::default();
    Timeouts {
        proxy_header: raw.get("proxy_header").duration().unwrap_or(d.proxy_header),
        tls_handshake: raw
            .get("tls_handshake")
            .duration()
            .unwrap_or(d.tls_handshake),
        login: raw.get("login").duration().unwrap_or(d.login),
        idle: raw.get("idle").duration().unwrap_or(d.idle),
        pop3_idle: raw.get("pop3_idle").duration().unwrap_or(d.pop3_idle),
        keepalive: raw.get("keepalive").duration().unwrap_or(d.keepalive),
        drain_delay: raw.get("drain_delay").duration().unwrap_or(d.drain_delay),
        drain: raw.get("drain").duration().unwrap_or(d.drain),
    }
}
