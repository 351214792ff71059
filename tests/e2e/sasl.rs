//! Logins by tokens and by SCRAM: relayed to a Dovecot that takes them, by clients that know them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::clients::mpop;
use super::programs::script;
use crate::proxy_protocol::{Version, of};
use crate::support::dovecot::Dovecot;
use crate::support::gateway::Settings;
use crate::support::mail::{crlf, crlf_ended, message};
use crate::support::need::{DOVECOT, Need, needs};
use crate::support::pki::Pki;
use crate::support::process::run_ok;
use crate::support::scratch::free_port;
use crate::support::stage::both;
use crate::support::wire::Conn;
use crate::support::{BOB, Imap, Scratch, Stage, scripted};

/// A token that Dovecot's introspection endpoint knows as Bob's.
pub(crate) const TOKEN: &str = "ya29.bobs-token-0123456789_abcdefgh.ijklmnop~qrst+uvwx/yz==";

/// A Dovecot that knows every mechanism.
pub(crate) fn stage(settings: impl FnOnce(&Dovecot) -> Settings) -> Stage {
    let introspection = introspection();
    Stage::on(
        |scratch, pki| {
            let oauth2 = scratch.write(
                "oauth2.conf",
                format!(
                    "introspection_url = http://127.0.0.1:{introspection}/
introspection_mode = auth
force_introspection = yes
username_attribute = sub
active_attribute = active
active_value = true
"
                ),
            );
            let more = format!(
                "auth_mechanisms = plain login xoauth2 oauthbearer scram-sha-1 scram-sha-256
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {}
}}
",
                oauth2.display()
            );
            Dovecot::with(scratch, pki, &more)
        },
        |dovecot, _| settings(dovecot),
    )
}

/// Says of a token whose it is (RFC 7662, as Dovecot asks it).
fn introspection() -> u16 {
    scripted::host(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut known) = (String::new(), false);
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            known |= line.contains(": Bearer ") && line.trim_end().ends_with(TOKEN);
            if line.trim_end().is_empty() {
                let body = match known {
                    true => format!("{{\"active\":true,\"sub\":\"{}\"}}", BOB.name),
                    false => "{\"active\":false}".to_owned(),
                };
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                known = false;
            }
            line.clear();
        }
    })
}

/// Python's imaplib by each mechanism, with right and wrong secrets; it checks the host's proof.
pub(crate) fn imaplib_by_each(stage: &Stage, port: u16) {
    run_ok(
        Command::new("python3")
            .arg("-I")
            .arg(script("sasl_session.py"))
            .arg(port.to_string())
            .arg(&stage.pki.ca)
            .args([BOB.name, BOB.password, TOKEN]),
    );
}

/// What hosts take is known from a look at them, before anybody has logged in.
#[test]
fn imaplib_knows_them_all() {
    needs!(DOVECOT, Need::Program("python3"));
    let mut stage = stage(|dovecot| Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap)));
    let ports = stage.gateway.ports;
    let offered = || {
        let list = Imap::plain(ports.imap).command("CAPABILITY").text();
        list.contains("SCRAM-SHA-256") && list.contains("OAUTHBEARER")
    };
    stage
        .gateway
        .wait_until("the host's mechanisms to be listed", offered);
    imaplib_by_each(&stage, ports.imaps);
    for mechanism in ["XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-1", "SCRAM-SHA-256"] {
        let mechanism = format!("mechanism={mechanism}");
        stage
            .gateway
            .logged(&["event=login result=ok", &mechanism, "user=bob"]);
    }
    assert!(
        !stage.gateway.log().contains("bobs-token"),
        "a token in the log"
    );
}

#[test]
fn curl_shows_its_token() {
    needs!(DOVECOT, Need::Program("curl"));
    let messages = [message("one", b"text\n")];
    for relayed in [false, true] {
        let stage = stage(|dovecot| match relayed {
            true => Settings::to(both(dovecot.imap, dovecot.pop3)),
            false => Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap)),
        })
        .delivered(BOB, &messages);
        let ports = stage.gateway.ports;
        let curl = |bearer: bool, args: &[&str], url: String| {
            let mut command = Command::new("curl");
            command.args(["-sS", "--max-time", "60", "--cacert"]);
            command.arg(&stage.pki.ca).args(args);
            match bearer {
                true => command.args(["--user", BOB.name, "--oauth2-bearer", TOKEN]),
                false => command.args(["--user", &format!("{}:{}", BOB.name, BOB.password)]),
            };
            run_ok(command.arg(url))
        };
        let imap = format!("imaps://localhost:{}/INBOX;UID=1", ports.imaps);
        let pop3 = format!("pop3s://localhost:{}/1", ports.pop3s);
        curl(false, &[], imap.clone());
        curl(false, &[], pop3.clone());
        for mechanism in ["AUTH=XOAUTH2", "AUTH=OAUTHBEARER"] {
            for more in [&["--sasl-ir"][..], &[]] {
                let args = [&["--login-options", mechanism], more].concat();
                assert_eq!(curl(true, &args, imap.clone()), crlf(&messages[0]));
                assert_eq!(curl(true, &args, pop3.clone()), crlf_ended(&messages[0]));
            }
        }
    }
}

#[test]
fn mpop_collects_by_each_mechanism() {
    needs!(DOVECOT, Need::Program("mpop"));
    let messages: Vec<_> = (0..3)
        .map(|n| message(&format!("n{n}"), b"text\n"))
        .collect();
    for relayed in [false, true] {
        let stage = stage(|dovecot| match relayed {
            true => Settings::to(both(dovecot.imap, dovecot.pop3)),
            false => Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap)),
        })
        .delivered(BOB, &messages);
        for (auth, secret) in [
            // The first shows what the host can do.
            ("plain", BOB.password),
            ("xoauth2", TOKEN),
            ("oauthbearer", TOKEN),
            ("scram-sha-1", BOB.password),
            ("scram-sha-256", BOB.password),
        ] {
            let user = BOB.name;
            let how = format!("auth {auth}\nuser {user}\npassword {secret}\ntls_starttls off\n");
            let collected = mpop(&stage, auth, stage.gateway.ports.pop3s, &how).len();
            assert_eq!(collected, 3, "{auth}, relayed: {relayed}");
        }
    }
}

/// What a host says to the answer of its challenge.
#[derive(Clone, Copy)]
enum Verdict {
    /// It closes.
    Nothing,
    No,
}

/// A host that takes tokens, with this challenge for each.
fn asks_on(challenge: &str, verdict: Verdict) -> u16 {
    let challenge = challenge.to_owned();
    scripted::host(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let capability = "CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2";
        let _ = write!(stream, "* OK [{capability}] hi\r\n");
        let (mut line, mut answer) = (String::new(), String::new());
        let _ = reader.read_line(&mut line);
        let _ = write!(stream, "+ {challenge}\r\n");
        let _ = reader.read_line(&mut answer);
        if let Verdict::No = verdict {
            let tag = line.split(' ').next().unwrap();
            let _ = write!(stream, "{tag} NO [AUTHENTICATIONFAILED] wrong token\r\n");
            let _ = reader.read_line(&mut answer);
        }
    })
}

/// A host that asks and is gone, and a client that is: both sides hear of it.
#[test]
fn either_side_may_go_in_the_middle_of_an_exchange() {
    let host = asks_on("e30=", Verdict::Nothing);
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let mut gateway = Settings::to(format!("imap://127.0.0.1:{host}")).start(&scratch, &pki);
    let first = STANDARD.encode("user=bob\x01auth=Bearer x\x01\x01");
    let ask = |port: u16| {
        let mut imap = Imap::plain(port);
        imap.conn
            .send(format!("a AUTHENTICATE XOAUTH2 {first}\r\n"));
        assert!(imap.invited("a").is_none());
        imap
    };
    let port = gateway.ports.imap;
    let mut imap = ask(port);
    imap.conn.send("\r\n");
    imap.answer("a").no("UNAVAILABLE");
    imap.command("NOOP").ok();
    let mut imap = ask(port);
    imap.conn.send("*\r\n");
    assert!(imap.answer("a").status.starts_with("BAD"));
    drop(imap);
    drop(ask(port));
    gateway.logged(&["event=login", "gave the exchange up"]);
    gateway.logged(&["event=session_end", "reason=closed", "state=login"]);
}

/// Who is in the map is nobody's to find out by a token that anybody can make up.
#[test]
fn a_wrong_token_is_refused_alike_whoever_is_asked() {
    let error = STANDARD.encode(r#"{"status":"401","schemes":"bearer","scope":"mail"}"#);
    let challenge = format!("+ {error}");
    let takes = asks_on(&error, Verdict::No);
    let lacks = scripted::imap("[CAPABILITY IMAP4rev1] here", |command| {
        format!("{} OK done\r\n", command.tag)
    });
    let (scratch, proxied) = (Scratch::new(), free_port());
    let mut gateway = Settings::new()
        .backend("takes", format!("imap://127.0.0.1:{takes}"))
        .backend("lacks", format!("imap://127.0.0.1:{lacks}"))
        .user("ann", "takes")
        .user("bea", "lacks")
        .limits("failed_logins: { per_ip: 100/1h, per_user: 1/1h }")
        .behind_balancer("imap", proxied)
        .start(&scratch, &Pki::new(&scratch));
    let ports = gateway.ports;
    let try_out = |port: u16, user: &str, token: &str, answer: &str| {
        let mut conn = Conn::plain(port);
        if port == proxied {
            conn.send(of(Version::V2, "192.0.2.1:4711"));
        }
        conn.text();
        let first = STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"));
        let command = match port == ports.pop3 {
            true => "AUTH XOAUTH2",
            false => "a AUTHENTICATE XOAUTH2",
        };
        conn.send(format!("{command} {first}\r\n"));
        let mut said = vec![conn.text()];
        if said[0] == challenge {
            conn.send(format!("{answer}\r\n"));
            said.push(conn.text());
        }
        let last = said.pop().unwrap();
        let (words, _) = last.rsplit_once(" (").unwrap_or((&last, ""));
        said.push(words.to_owned());
        said
    };
    for (port, refused, aborted) in [
        (ports.imap, "a NO [AUTHENTICATIONFAILED] ", "a BAD "),
        (ports.pop3, "-ERR [AUTH] ", "-ERR aborted"),
    ] {
        for (answer, want) in [("", refused), ("*", aborted)] {
            let ann = try_out(port, "ann", "x", answer);
            assert_eq!(ann[0], challenge);
            assert!(ann[1].starts_with(want), "{ann:?}");
            for user in ["bea", "nobody"] {
                assert_eq!(try_out(port, user, "x", answer), ann, "{user}");
            }
        }
    }
    gateway.logged(&[
        "event=login",
        "AUTHENTICATIONFAILED",
        "user=bea",
        "AUTH=XOAUTH2",
    ]);
    gateway.logged(&[
        "event=login",
        "AUTHENTICATIONFAILED",
        "user=nobody",
        "no entry",
    ]);
    // Each of them counts.
    for user in ["ann", "bea", "nobody"] {
        for (token, limit) in [("x", false), ("y", true)] {
            let said = try_out(proxied, user, token, "").pop().unwrap();
            assert_eq!(said.starts_with("a NO [LIMIT]"), limit, "{user}: {said}");
        }
    }
}
