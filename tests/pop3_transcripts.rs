//! Plays `tests/transcripts/pop3/*.txt` against the POP3 front, however the octets are cut.
//!
//! `#` comments; `channel: tls|stls|clear` first (`clear` takes a login too). Then `C:` a line of the
//! client, `C+` one that comes in the same octets as the next, `S:` a line of ours, and events:
//! `* tls` the handshake, `* login MECHANISM user |secret|` credentials are shown, answered by
//! `* reject FAILURE` or `* accept TEXT`; `* held LINE` what goes on to the host, `* close`.
//! `\r` and `\xHH` stand for octets.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::Path;

use gatepost::protocol::pop3::server::Server;
use gatepost::protocol::{
    Channel, ClearLogin, Credentials, Failure, FrontSettings, Server as _, StartTls, Step, Welcome,
};

#[test]
fn transcripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/pop3");
    let mut played = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for size in [usize::MAX, 1, 7] {
            play(&text, size).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        }
        played += 1;
    }
    assert!(played > 0);
}

fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('\\') {
        out.extend_from_slice(head.as_bytes());
        rest = match tail.as_bytes() {
            [b'r', ..] => {
                out.push(b'\r');
                &tail[1..]
            }
            [b'x', _, _, ..] => {
                out.push(u8::from_str_radix(&tail[1..3], 16).unwrap());
                &tail[3..]
            }
            _ => {
                out.push(b'\\');
                tail
            }
        };
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn channel(word: &str) -> Channel {
    match word {
        "tls" => Channel::Tls,
        "stls" => Channel::Clear {
            starttls: StartTls::Yes,
            login: ClearLogin::Refused,
        },
        "clear" => Channel::Clear {
            starttls: StartTls::Yes,
            login: ClearLogin::Allowed,
        },
        other => panic!("no channel {other:?}"),
    }
}

fn failure(name: &str) -> Failure {
    match name {
        "Credentials" => Failure::Credentials,
        "NoRoute" => Failure::NoRoute,
        "Unreachable" => Failure::Unreachable {
            cause: "refused".into(),
        },
        "TimedOut" => Failure::TimedOut { state: "greeting" },
        other => panic!("no failure {other:?}"),
    }
}

fn play(text: &str, size: usize) -> Result<(), String> {
    let mut lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().and_then(|line| line.strip_prefix("channel: "));
    let mut server = Some(Box::new(Server::new(FrontSettings {
        greeting: "ready".into(),
        session: "S1".into(),
        channel: channel(first.ok_or("no channel")?),
        capabilities: None,
        line: 8 * 1024,
        bad_commands: 5,
    })));
    let mut burst = Vec::new();
    let mut input: Vec<u8> = Vec::new();
    let mut said: Vec<u8> = Vec::new();
    let mut held: Vec<u8> = Vec::new();
    // Feeds what the client sent until something else than reading is to be done.
    let go_on = |server: &mut Server, input: &mut Vec<u8>, said: &mut Vec<u8>| loop {
        match server.step() {
            Step::Write(octets) => said.extend(octets),
            Step::Read if !input.is_empty() => {
                let chunk: Vec<u8> = input.drain(..size.min(input.len())).collect();
                server.receive(&chunk);
            }
            step => return step,
        }
    };
    let mut step = None;
    for line in lines {
        let wrong = |got: &dyn std::fmt::Debug| Err(format!("{line:?} (cut {size}): got {got:?}"));
        if let Some(server) = server.as_mut()
            && (step.is_none() || matches!(step, Some(Step::Read)))
            && !line.starts_with("C")
        {
            step = Some(go_on(server, &mut input, &mut said));
        }
        if let Some(more) = line.strip_prefix("C+ ") {
            burst.extend(octets(more));
            burst.extend(b"\r\n");
        } else if let Some(last) = line.strip_prefix("C: ") {
            if !said.is_empty() {
                return wrong(&String::from_utf8_lossy(&said));
            }
            input.append(&mut burst);
            input.extend(octets(last));
            input.extend(b"\r\n");
        } else if let Some(text) = line.strip_prefix("S: ") {
            let want = [&octets(text)[..], b"\r\n"].concat();
            if !said.starts_with(&want) {
                return wrong(&String::from_utf8_lossy(&said));
            }
            said.drain(..want.len());
        } else if line == "* tls" {
            let Some(Step::StartTls) = step.take() else {
                return wrong(&step);
            };
            // What the client sent in clear, and the driver did not read, is dropped with it.
            input.clear();
            server.as_mut().ok_or("over")?.tls_started();
        } else if line == "* close" {
            let Some(Step::Close) = step.take() else {
                return wrong(&step);
            };
        } else if let Some(want) = line.strip_prefix("* login ") {
            let Some(Step::Login(login)) = step.take() else {
                return wrong(&step);
            };
            let Credentials::Password(secret) = &login.credentials;
            let secret = String::from_utf8_lossy(secret.reveal());
            let got = format!("{} {} |{secret}|", login.mechanism.as_str(), login.user);
            if got != want {
                return wrong(&got);
            }
            step = Some(Step::Login(login));
        } else if let Some(name) = line.strip_prefix("* reject ") {
            step = None;
            server.as_mut().ok_or("over")?.reject(&failure(name));
        } else if let Some(text) = line.strip_prefix("* accept") {
            step = None;
            let handover = server.take().ok_or("over")?.accept(Welcome {
                text: text.trim_start().into(),
                ..Welcome::default()
            });
            said.extend(handover.to_client);
            held = handover.to_host;
            held.append(&mut input);
        } else if let Some(text) = line.strip_prefix("* held ") {
            let want = [&octets(text)[..], b"\r\n"].concat();
            if !held.starts_with(&want) {
                return wrong(&String::from_utf8_lossy(&held));
            }
            held.drain(..want.len());
        } else {
            return wrong(&"a line that is none");
        }
    }
    if said.is_empty() && held.is_empty() {
        Ok(())
    } else {
        Err(format!("left over: {said:?} {held:?}"))
    }
}
