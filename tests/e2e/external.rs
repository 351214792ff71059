//! EXTERNAL by the mail programs that know it: a certificate instead of a password, over IMAP fetchmail,
//! curl, mbsync and Python's imapclient, over POP3 curl and mpop.

use std::process::Command;

use super::clients::{self, delivery, fetchmail_by, folder};
use super::master::stage as of_a_master;
use super::programs::script;
use crate::support::need::{DOVECOT, Need, needs, unpacked};
use crate::support::process::run_ok;
use crate::support::scratch::free_port;
use crate::support::{Imap, Stage, imap::Way};

/// Whose certificate it is; at the host she is alice, and has one message.
const WHO: &str = "alice@example.org";

/// A gateway that asks for certificates, and its ports for IMAP and POP3.
fn stage() -> (Stage, u16, u16) {
    let [imaps, pop3s] = std::array::from_fn(|_| free_port());
    let stage = of_a_master(|settings, pki| {
        settings
            .asks_for_certificates("imaps", imaps, &pki.ca)
            .asks_for_certificates("pop3s", pop3s, &pki.ca)
    });
    (stage, imaps, pop3s)
}

fn by(stage: &mut Stage, protocol: &str) {
    stage.gateway.logged(&[
        "event=login",
        "result=ok",
        &format!("protocol={protocol}"),
        &format!("user={WHO}"),
        "mechanism=EXTERNAL ",
    ]);
}

#[test]
fn fetchmail() {
    needs!(DOVECOT, Need::Program("fetchmail"));
    let (mut stage, imaps, _) = stage();
    let (inbox, deliver) = delivery(&stage);
    let (cert, key) = &stage.pki.client;
    let conf = stage.scratch.write_private(
        "fetchmailrc",
        format!(
            "set no bouncemail
poll localhost protocol IMAP service {imaps} auth external
  user \"{WHO}\" ssl sslcertck sslcertfile {ca} sslcert {cert} sslkey {key} fetchall keep
  mda \"sh {deliver}\"
",
            ca = stage.pki.ca.display(),
            cert = cert.display(),
            key = key.display(),
            deliver = deliver.display(),
        ),
    );
    run_ok(&mut fetchmail_by(&stage, &conf));
    assert_eq!(folder(&inbox).len(), 1);
    by(&mut stage, "imap");
}

#[test]
fn curl() {
    needs!(DOVECOT, Need::Program("curl"));
    let (mut stage, imaps, pop3s) = stage();
    let (cert, key) = stage.pki.client.clone();
    for (protocol, url) in [
        ("imap", format!("imaps://localhost:{imaps}/INBOX;UID=1")),
        ("pop3", format!("pop3s://localhost:{pop3s}/1")),
    ] {
        for more in [&["--sasl-ir"][..], &[]] {
            let mut command = Command::new("curl");
            command.args(["-sS", "--max-time", "60", "--user", &format!("{WHO}:")]);
            command
                .args(["--login-options", "AUTH=EXTERNAL"])
                .args(more);
            command.arg("--cacert").arg(&stage.pki.ca);
            command.arg("--cert").arg(&cert).arg("--key").arg(&key);
            let got = run_ok(command.arg(&url));
            assert!(
                got.starts_with(b"Subject: for alice"),
                "{protocol} {more:?}"
            );
        }
        by(&mut stage, protocol);
    }
}

#[test]
fn mpop() {
    needs!(DOVECOT, Need::Program("mpop"));
    let (mut stage, _, pop3s) = stage();
    let (cert, key) = &stage.pki.client;
    let how = format!(
        "auth external\nuser {WHO}\ntls_starttls off\ntls_cert_file {}\ntls_key_file {}\n",
        cert.display(),
        key.display()
    );
    assert_eq!(clients::mpop(&stage, "mpop", pop3s, &how).len(), 1);
    by(&mut stage, "pop3");
}

#[test]
fn mbsync() {
    needs!(DOVECOT, Need::Program("mbsync"));
    let (mut stage, imaps, _) = stage();
    let here = stage.scratch.dir("mbsync");
    let (cert, key) = &stage.pki.client;
    let conf = stage.scratch.write_private(
        "mbsyncrc",
        format!(
            "IMAPAccount store\nHost localhost\nPort {imaps}\nUser {WHO}\nPass none\n\
             SSLType IMAPS\nCertificateFile {ca}\nClientCertificate {cert}\nClientKey {key}\n\
             AuthMechs EXTERNAL\n\n\
             IMAPStore far\nAccount store\n\n\
             MaildirStore near\nPath {here}/\nInbox {here}/INBOX\n\n\
             Channel all\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSyncState *\nSync Pull\n",
            ca = stage.pki.ca.display(),
            cert = cert.display(),
            key = key.display(),
            here = here.display(),
        ),
    );
    run_ok(Command::new("mbsync").arg("-c").arg(&conf).arg("-a"));
    assert_eq!(folder(&here.join("INBOX/new")).len(), 1);
    by(&mut stage, "imap");
}

#[test]
fn imapclient() {
    needs!(DOVECOT, Need::Venv("imapclient"));
    let (mut stage, imaps, _) = stage();
    // Five, as the session expects.
    let mut imap = Imap::plain(stage.gateway.ports.imap);
    imap.login(Way::PlainInitial, "alice", super::master::OURS)
        .ok();
    for n in 0..4 {
        let text = format!("Subject: {n}\r\n\r\ntext\r\n");
        imap.command_with_literal("APPEND INBOX", text.as_bytes())
            .ok();
    }
    let (cert, key) = &stage.pki.client;
    let mut command = Command::new(unpacked("imapclient").join("bin/python"));
    command.arg("-I").arg(script("imapclient_session.py"));
    command.args([&imaps.to_string(), "tls"]).arg(&stage.pki.ca);
    command.args([
        WHO,
        &format!("{}:{}", cert.display(), key.display()),
        "external",
    ]);
    run_ok(&mut command);
    by(&mut stage, "imap");
}
