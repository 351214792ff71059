//! An admin port that gives scripted answers, and a directory from which it is asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) line: String,
    pub(super) fields: Vec<String>,
    pub(super) body: String,
}

/// A port that gives these answers, one a connection, and tells what it was asked.
pub(super) fn scripted(answers: Vec<(u16, Value)>) -> (SocketAddr, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim_end().is_empty() {
                    break;
                }
                lines.push(line.trim_end().to_owned());
            }
            let line = lines.remove(0);
            let length = lines.iter().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            let mut octets = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut octets).unwrap();
            let body = body.to_string();
            let length = body.len();
            write!(stream, "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
            let request = Request {
                line,
                fields: lines,
                body: String::from_utf8(octets).unwrap(),
            };
            if tell.send(request).is_err() {
                return;
            }
        }
    });
    (address, told)
}

/// A directory with a proxy.yaml, removed at the end.
pub(super) struct Dir(pub(super) PathBuf);

impl Dir {
    pub(super) fn new(name: &str, yaml: &str) -> Dir {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("remote-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("proxy.yaml"), yaml).unwrap();
        Dir(dir)
    }

    pub(super) fn run(&self, args: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .args(args)
            .current_dir(&self.0)
            .env_remove("GATEPOST_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn settings(port: u16) -> String {
    // On all addresses, and wrong elsewhere: the running gateway keeps its old settings.
    format!(
        "listeners: [half-way through an edit]\nadmin: {{ bind: 0.0.0.0:{port}, token: s3cret }}\n"
    )
}

pub(super) fn hosts() -> Value {
    json!({"backends": [
        {"name": "old", "hosts": [{"name": "h1", "state": "up", "weight": 1, "sessions": 2}]},
        {"name": "new", "hosts": [{"name": "h2:1143", "state": "up", "weight": 1, "sessions": 1},
                                  {"name": "h1", "state": "up", "weight": 1, "sessions": 0}]},
    ]})
}
