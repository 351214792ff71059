//! Real clients: curl, mbsync, fetchmail, mpop, getmail. What they collect through the gateway is
//! what was delivered, and a second run collects nothing new.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::gateway::Settings;
use crate::support::mail::{crlf, crlf_ended, mailbox, message};
use crate::support::need::{DOVECOT, Need, needs};
use crate::support::process::{run, run_ok};
use crate::support::{ALICE, BOB, Imap, Scratch, Stage, pki::Pki};

const CURL: Need = Need::Program("curl");

/// So many messages are mirrored and collected.
const COUNT: usize = 64;

#[test]
fn curl_reads_the_demo() {
    needs!(CURL);
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let gateway = Settings::to("demo://")
        .without_certificate()
        .start(&scratch, &pki);
    let (imaps, pop3s) = (gateway.ports.imaps, gateway.ports.pop3s);
    let curl = |url: String| run_ok(curl("demo", "demo").arg("-k").arg(url));
    let listed = curl(format!("pop3s://localhost:{pop3s}/"));
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.lines().count() > 0, "{listed}");
    for (n, line) in (1..).zip(listed.lines()) {
        let by_pop3 = curl(format!("pop3s://localhost:{pop3s}/{n}"));
        let by_imap = curl(format!("imaps://localhost:{imaps}/INBOX;MAILINDEX={n}"));
        assert!(by_pop3 == by_imap, "message {n}");
        assert_eq!(line.trim_end(), format!("{n} {}", by_pop3.len()));
    }
    let folders = curl(format!("imaps://localhost:{imaps}/"));
    assert!(String::from_utf8_lossy(&folders).contains("INBOX"));
}

#[test]
fn curl_reads_dovecot() {
    needs!(DOVECOT, CURL);
    let messages = mailbox(18);
    let stage = Stage::new().delivered(ALICE, &messages);
    let ports = stage.gateway.ports;
    let curl = |args: &[&str], url: String| {
        run_ok(
            curl(ALICE.name, ALICE.password)
                .arg("--cacert")
                .arg(&stage.pki.ca)
                .args(args)
                .arg(url),
        )
    };
    for (n, message) in (1..).zip(&messages) {
        let got = curl(
            &[],
            format!("imaps://localhost:{}/INBOX;UID={n}", ports.imaps),
        );
        assert!(got == crlf(message), "imaps {n}");
        let got = curl(&[], format!("pop3s://localhost:{}/{n}", ports.pop3s));
        assert!(got == crlf_ended(message), "pop3s {n}");
    }
    let imap = format!("imap://localhost:{}/INBOX;UID=1", ports.imap_strict);
    let pop3 = format!("pop3://localhost:{}/1", ports.pop3_strict);
    for mechanism in ["AUTH=PLAIN", "AUTH=LOGIN", "AUTH=*"] {
        for more in [&["--sasl-ir"][..], &[]] {
            let args = [&["--ssl-reqd", "--login-options", mechanism], more].concat();
            let got = curl(&args, imap.clone());
            assert!(got == crlf(&messages[0]), "{args:?}");
            let got = curl(&args, pop3.clone());
            assert!(got == crlf_ended(&messages[0]), "{args:?}");
        }
    }
    // Sending mail into the store.
    let new = crlf(&message("by curl", b"sent up\n"));
    let file = stage.scratch.write("new.eml", &new);
    curl(
        &["-T", file.to_str().unwrap()],
        format!("imaps://localhost:{}/INBOX", ports.imaps),
    );
    assert_eq!(stage.dovecot.inbox(ALICE).fetch(19), new);
}

/// curl, quiet but for errors, as a user.
fn curl(user: &str, password: &str) -> Command {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "--user"]);
    command.arg(format!("{user}:{password}"));
    command
}

#[test]
fn mbsync_mirrors_a_mailbox() {
    needs!(DOVECOT, Need::Program("mbsync"));
    let stage = Stage::new();
    let messages = numbered(COUNT);
    stage.dovecot.deliver(BOB.name, &messages);
    let mirror = stage.scratch.dir("mirror");
    let ports = stage.gateway.ports;
    for (name, tls, port) in [
        ("Implicit", "IMAPS", ports.imaps),
        ("Start", "STARTTLS", ports.imap_strict),
    ] {
        let here = mirror.join(name);
        fs::create_dir(&here).unwrap();
        let conf = stage.scratch.write_private(
            &format!("mbsyncrc-{name}"),
            format!(
                "IMAPAccount store
Host localhost
Port {port}
User {user}
Pass {password}
SSLType {tls}
CertificateFile {ca}

IMAPStore far
Account store

MaildirStore near
Path {here}/
Inbox {here}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns INBOX
Create Both
SyncState *
Sync All
Expunge None
",
                user = BOB.name,
                password = BOB.password,
                ca = stage.pki.ca.display(),
                here = here.display(),
            ),
        );
        let sync = || run_ok(Command::new("mbsync").arg("-c").arg(&conf).arg("-a"));
        sync();
        let first = maildir(&here.join("INBOX"));
        assert_eq!(subjects(&first), expected(&messages), "{name}");
        sync();
        assert_eq!(maildir(&here.join("INBOX")), first, "{name}: nothing new");
    }
    // What is new there comes here, what is new here goes there.
    let mut imap = Imap::logged_in(stage.dovecot.imap, BOB);
    imap.command("SELECT INBOX").ok();
    assert_eq!(imap.uids().len(), COUNT, "a mirror changes nothing");
    let new = crlf(&message("subject 900", b"made here\n"));
    fs::write(mirror.join("Implicit/INBOX/new/1.test"), &new).unwrap();
    imap.command_with_literal(
        "APPEND INBOX",
        &crlf(&message("subject 901", b"made there\n")),
    )
    .ok();
    let conf = stage.scratch.join("mbsyncrc-Implicit");
    run_ok(Command::new("mbsync").arg("-c").arg(conf).arg("-a"));
    assert_eq!(
        maildir(&mirror.join("Implicit/INBOX")).len(),
        COUNT + 2,
        "one more from each side"
    );
    imap.command("NOOP").ok();
    assert_eq!(imap.uids().len(), COUNT + 2);
}

#[test]
fn fetchmail_collects_a_mailbox_once() {
    needs!(DOVECOT, Need::Program("fetchmail"));
    let (stage, messages) = keep_stage();
    let (inbox, deliver) = delivery(&stage);
    let ports = stage.gateway.ports;
    let conf = stage.scratch.write_private(
        "fetchmailrc",
        format!(
            "set no bouncemail
poll localhost protocol POP3 service {port} uidl
  user \"{user}\" password \"{password}\" ssl sslcertck sslcertfile {ca} keep
  mda \"sh {deliver}\"
",
            port = ports.pop3s,
            user = BOB.name,
            password = BOB.password,
            ca = stage.pki.ca.display(),
            deliver = deliver.display(),
        ),
    );
    let fetch = || {
        let mut command = fetchmail_by(&stage, &conf);
        command.arg("--idfile").arg(stage.scratch.join("fetchids"));
        run(&mut command)
    };
    let first = fetch();
    let said = |output: &std::process::Output| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert_eq!(subjects(&folder(&inbox)), expected(&messages));
    let second = fetch();
    assert_eq!(second.status.code(), Some(1), "no mail: {}", said(&second));
    assert_eq!(folder(&inbox).len(), messages.len());
    kept(&stage, messages.len());
}

#[test]
fn mpop_collects_a_mailbox_once() {
    needs!(DOVECOT, Need::Program("mpop"));
    let (stage, messages) = keep_stage();
    let ports = stage.gateway.ports;
    for (name, starttls, port, auth) in [
        ("implicit", "off", ports.pop3s, "plain"),
        ("stls", "on", ports.pop3_strict, "user"),
        ("login", "on", ports.pop3_strict, "login"),
    ] {
        let how = format!(
            "auth {auth}\nuser {}\npassword {}\ntls_starttls {starttls}\n",
            BOB.name, BOB.password
        );
        let first = mpop(&stage, name, port, &how);
        assert_eq!(subjects(&first), expected(&messages), "{name}");
        let second = mpop(&stage, name, port, &how);
        assert_eq!(second, first, "{name}: nothing new");
    }
    kept(&stage, messages.len());
}

/// Lets mpop collect into a Maildir of this name, and keep what it read; gives what is there then. `how`
/// are its settings about who logs in and how.
pub(crate) fn mpop(stage: &Stage, name: &str, port: u16, how: &str) -> Vec<Vec<u8>> {
    let inbox = stage.scratch.dir(name);
    for sub in ["cur", "new", "tmp"] {
        fs::create_dir_all(inbox.join(sub)).unwrap();
    }
    let conf = stage.scratch.write_private(
        &format!("mpoprc-{name}"),
        format!(
            "account default\nhost localhost\nport {port}\n{how}tls on\ntls_trust_file {ca}\n\
             keep on\ndelivery maildir {inbox}\nuidls_file {inbox}.uidls\nreceived_header off\n",
            ca = stage.pki.ca.display(),
            inbox = inbox.display(),
        ),
    );
    run_ok(Command::new("mpop").arg("-C").arg(&conf));
    maildir(&inbox)
}

#[test]
fn getmail_collects_a_mailbox_once_and_then_deletes_it() {
    needs!(DOVECOT, Need::Program("getmail"));
    let (stage, messages) = keep_stage();
    let (inbox, deliver) = delivery(&stage);
    let collect = |delete: &str| {
        stage.scratch.write_private(
            "getmailrc",
            format!(
                "[retriever]
type = SimplePOP3SSLRetriever
server = localhost
port = {port}
username = {user}
password = {password}
[destination]
type = MDA_external
path = /bin/sh
arguments = (\"{deliver}\",)
allow_root_commands = true
[options]
read_all = false
delete = {delete}
received = false
delivered_to = false
",
                port = stage.gateway.ports.pop3s,
                user = BOB.name,
                password = BOB.password,
                deliver = deliver.display(),
            ),
        );
        run_ok(
            Command::new("getmail")
                .arg("--getmaildir")
                .arg(stage.scratch.path()),
        )
    };
    collect("false");
    assert_eq!(subjects(&folder(&inbox)), expected(&messages));
    collect("false");
    assert_eq!(folder(&inbox).len(), messages.len(), "nothing new");
    kept(&stage, messages.len());
    collect("true");
    assert_eq!(folder(&inbox).len(), messages.len(), "nothing new");
    kept(&stage, 0);
}

/// fetchmail by these settings, with its files in the stage's own place.
pub(crate) fn fetchmail_by(stage: &Stage, conf: &Path) -> Command {
    let mut command = Command::new("fetchmail");
    command
        .env("FETCHMAILHOME", stage.scratch.path())
        .env("HOME", stage.scratch.path())
        .arg("-f")
        .arg(conf)
        .arg("--pidfile")
        .arg(stage.scratch.join("fetchmail.pid"))
        .args(["--nosyslog", "-v"]);
    command
}

/// A folder, and a script that puts what it is given into a new file there.
pub(crate) fn delivery(stage: &Stage) -> (PathBuf, PathBuf) {
    let inbox = stage.scratch.dir("inbox");
    let script = format!("exec cat > {}/$$.$(date +%s%N)\n", inbox.display());
    let script = stage.scratch.write("deliver.sh", script);
    (inbox, script)
}

/// Bob's mailbox to be collected, and what is in it.
fn keep_stage() -> (Stage, Vec<Vec<u8>>) {
    let stage = Stage::new();
    let messages = numbered(COUNT);
    stage.dovecot.deliver(BOB.name, &messages);
    (stage, messages)
}

#[track_caller]
fn kept(stage: &Stage, count: usize) {
    let mut imap = stage.dovecot.inbox(BOB);
    assert_eq!(imap.uids().len(), count, "messages left with the host");
}

/// Messages that can be told apart by subject when a client has rewritten them, of every size up
/// to 1.5 MB, with dots where they hurt.
fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| {
            let lines = if n == 40 { 37_000 } else { n * n % 400 };
            let mut body = format!(".\n..\nmessage {n}\n").into_bytes();
            body.extend_from_slice(&b".one more of forty octets, with a dot..\n".repeat(lines));
            message(&format!("subject {n}"), &body)
        })
        .collect()
}

/// Subject to body, the body as the messages have it: with LF.
fn expected(messages: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    subjects(messages)
}

fn subjects(messages: &[Vec<u8>]) -> BTreeMap<String, Vec<u8>> {
    let map: BTreeMap<String, Vec<u8>> = messages
        .iter()
        .map(|octets| {
            let octets: Vec<u8> = octets.iter().copied().filter(|&b| b != b'\r').collect();
            let end = octets.windows(2).position(|two| two == b"\n\n").unwrap();
            let header = String::from_utf8_lossy(&octets[..end]).into_owned();
            let subject = header
                .lines()
                .find_map(|line| line.strip_prefix("Subject: "))
                .unwrap_or_else(|| panic!("no subject in {header}"));
            (subject.to_owned(), octets[end + 2..].to_vec())
        })
        .collect();
    assert_eq!(map.len(), messages.len(), "a message came twice");
    map
}

/// The messages of a Maildir.
fn maildir(dir: &Path) -> Vec<Vec<u8>> {
    let mut all = folder(&dir.join("new"));
    all.extend(folder(&dir.join("cur")));
    all.sort();
    all
}

pub(crate) fn folder(dir: &Path) -> Vec<Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect()
}
