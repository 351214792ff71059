//! Tokens and SCRAM by the mail programs that know them: mutt, mbsync, fetchmail, getmail6, Python's imapclient and
//! npm's imapflow log in and read mail. curl, mpop and imaplib do in `sasl`, certificates are in `external`.

use std::process::Command;

use super::clients::{delivery, fetchmail_by, folder};
use super::programs::{mutt_reads, script};
use super::sasl::{TOKEN, stage};
use crate::support::dovecot::Dovecot;
use crate::support::gateway::Settings;
use crate::support::mail::{mailbox, message};
use crate::support::need::{DOVECOT, Need, needs, unpacked};
use crate::support::process::run_ok;
use crate::support::stage::both;
use crate::support::{BOB, Imap, Pop3, Stage};

/// Bob has five messages, on a host that takes everything.
fn five() -> Stage {
    five_on(|dovecot| both(dovecot.imap, dovecot.pop3), &mailbox(5))
}

/// The same on the endpoints that are given, with other messages.
fn five_on(endpoints: impl FnOnce(&Dovecot) -> String, messages: &[Vec<u8>]) -> Stage {
    let mut stage = stage(|dovecot| Settings::to(endpoints(dovecot))).delivered(BOB, messages);
    // What the host takes is known from a look at it.
    let ports = stage.gateway.ports;
    let listed = || {
        let imap = Imap::plain(ports.imap).command("CAPABILITY").text();
        let pop3 = Pop3::plain(ports.pop3).lines("CAPA").join(" ");
        [imap, pop3]
            .iter()
            .all(|list| list.contains("SCRAM-SHA-256"))
    };
    stage
        .gateway
        .wait_until("the host's mechanisms to be listed", listed);
    stage
}

/// The gateway's log says by which mechanism somebody was let in.
fn by(stage: &mut Stage, protocol: &str, mechanism: &str) {
    stage.gateway.logged(&[
        "event=login",
        "result=ok",
        &format!("protocol={protocol}"),
        &format!("mechanism={mechanism} "),
    ]);
}

#[test]
fn imapclient() {
    needs!(DOVECOT, Need::Venv("imapclient"));
    let mut stage = five();
    for (way, mechanism) in [("xoauth2", "XOAUTH2"), ("oauthbearer", "OAUTHBEARER")] {
        let mut command = Command::new(unpacked("imapclient").join("bin/python"));
        command.arg("-I").arg(script("imapclient_session.py"));
        command.args([&stage.gateway.ports.imaps.to_string(), "tls"]);
        command.arg(&stage.pki.ca).args([BOB.name, TOKEN, way]);
        run_ok(&mut command);
        by(&mut stage, "imap", mechanism);
    }
}

#[test]
fn imapflow() {
    needs!(DOVECOT, Need::Program("node"), Need::Venv("imapflow"));
    let mut stage = five();
    let mut command = Command::new("node");
    command.arg(script("imapflow_session.js"));
    command.arg(unpacked("imapflow"));
    command.args([&stage.gateway.ports.imaps.to_string(), "tls"]);
    command.arg(&stage.pki.ca).args([BOB.name, TOKEN, "TOKEN"]);
    run_ok(&mut command);
    by(&mut stage, "imap", "OAUTHBEARER");
}

#[test]
fn mutt() {
    needs!(DOVECOT, Need::Program("mutt"), Need::Program("python3"));
    let mut stage = five();
    let port = stage.gateway.ports.imaps;
    mutt_by_each(&mut stage, ("imaps", port), ("imap", "imap"));
}

/// Mutt by each mechanism there is a token or a SCRAM for; `protocol` as we name it, and as its
/// settings do.
fn mutt_by_each(stage: &mut Stage, at: (&str, u16), (protocol, named): (&str, &str)) {
    let more = format!("set {named}_oauth_refresh_command=\"echo {TOKEN}\"\n");
    for (how, mechanism) in [
        ("xoauth2", "XOAUTH2"),
        ("oauthbearer", "OAUTHBEARER"),
        ("SCRAM-SHA-1", "SCRAM-SHA-1"),
        ("SCRAM-SHA-256", "SCRAM-SHA-256"),
    ] {
        mutt_reads(stage, at, how, &more);
        by(stage, protocol, mechanism);
    }
}

/// Over POP3, translated and relayed. It reads headers by TOP; Dovecot does not double the dot that a first
/// header line begins with, and mutt takes that for the end: relayed, such a message (which there is
/// among the other five) ends its session with Dovecot, with the gateway between as without.
#[test]
fn mutt_by_pop3() {
    needs!(DOVECOT, Need::Program("mutt"), Need::Program("python3"));
    let plain: Vec<_> = (0..5)
        .map(|n| message(&format!("n{n}"), b"text\n"))
        .collect();
    let translated = five_on(
        |dovecot| format!("imap://127.0.0.1:{}", dovecot.imap),
        &mailbox(5),
    );
    let relayed = five_on(|dovecot| both(dovecot.imap, dovecot.pop3), &plain);
    for mut stage in [translated, relayed] {
        let port = stage.gateway.ports.pop3s;
        mutt_by_each(&mut stage, ("pop3s", port), ("pop3", "pop"));
    }
}

/// Over IMAP fetchmail knows passwords by LOGIN; certificates are in `external`, POP3 in `clients`.
#[test]
fn fetchmail() {
    needs!(DOVECOT, Need::Program("fetchmail"));
    let mut stage = five();
    let (inbox, deliver) = delivery(&stage);
    let conf = stage.scratch.write_private(
        "fetchmailrc",
        format!(
            "set no bouncemail\npoll localhost protocol IMAP service {port} auth password\n\
             user \"{user}\" password \"{password}\" ssl sslcertck sslcertfile {ca} fetchall keep\n\
             mda \"sh {deliver}\"\n",
            port = stage.gateway.ports.imaps,
            user = BOB.name,
            password = BOB.password,
            ca = stage.pki.ca.display(),
            deliver = deliver.display(),
        ),
    );
    run_ok(&mut fetchmail_by(&stage, &conf));
    assert_eq!(folder(&inbox).len(), 5);
    by(&mut stage, "imap", "LOGIN");
}

#[test]
fn mbsync() {
    needs!(DOVECOT, Need::Program("mbsync"));
    let mut stage = five();
    for mechanism in ["PLAIN", "LOGIN", "SCRAM-SHA-1", "SCRAM-SHA-256"] {
        let here = stage.scratch.dir(mechanism);
        let conf = stage.scratch.write_private(
            &format!("mbsyncrc-{mechanism}"),
            format!(
                "IMAPAccount store\nHost localhost\nPort {port}\nUser {user}\nPass {password}\n\
                 SSLType IMAPS\nCertificateFile {ca}\nAuthMechs {mechanism}\n\n\
                 IMAPStore far\nAccount store\n\n\
                 MaildirStore near\nPath {here}/\nInbox {here}/INBOX\n\n\
                 Channel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSyncState *\nSync Pull\n",
                port = stage.gateway.ports.imaps,
                user = BOB.name,
                password = BOB.password,
                ca = stage.pki.ca.display(),
                here = here.display(),
            ),
        );
        run_ok(Command::new("mbsync").arg("-c").arg(&conf).arg("-a"));
        let pulled = std::fs::read_dir(here.join("INBOX/new")).unwrap().count();
        assert_eq!(pulled, 5, "{mechanism}");
        by(&mut stage, "imap", mechanism);
    }
}

#[test]
fn getmail() {
    needs!(DOVECOT, Need::Program("getmail"));
    let mut stage = five();
    let port = stage.gateway.ports.imaps;
    let token = format!("use_xoauth2 = True\npassword_command = (\"/bin/echo\", \"{TOKEN}\")");
    let password = format!("password = {}", BOB.password);
    let (inbox, deliver) = delivery(&stage);
    for (n, (secret, mechanism)) in (1..).zip([(password, "LOGIN"), (token, "XOAUTH2")]) {
        let own = stage.scratch.dir(&format!("getmail-{mechanism}"));
        std::fs::write(
            own.join("getmailrc"),
            format!(
                "[retriever]\ntype = SimpleIMAPSSLRetriever\nserver = localhost\nport = {port}\n\
                 username = {user}\n{secret}\n\
                 [destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"{deliver}\",)\n\
                 allow_root_commands = true\n[options]\ndelete = false\n",
                user = BOB.name,
                deliver = deliver.display(),
            ),
        )
        .unwrap();
        run_ok(Command::new("getmail").arg("--getmaildir").arg(&own));
        assert_eq!(folder(&inbox).len(), 5 * n, "{mechanism}");
        by(&mut stage, "imap", mechanism);
    }
}
