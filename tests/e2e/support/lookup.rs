//! A lookup service that answers as it is told and keeps what it was asked.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::{ServerConnection, StreamOwned};

use super::{pki, scripted};

/// A lookup service that runs until the test process ends.
pub(crate) struct Service {
    pub(crate) port: u16,
    questions: Questions,
}

type Questions = Arc<Mutex<Vec<Question>>>;

/// The header lines of a question, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question(pub(crate) Vec<(String, Vec<u8>)>);

/// Gives the whole answer to a question. An empty one: none, the connection stays open.
pub(crate) type Answers = fn(&Question) -> Vec<u8>;

impl Service {
    pub(crate) fn start(answers: Answers) -> Service {
        let questions = Questions::default();
        let kept = questions.clone();
        let port = scripted::host(move |tcp| serve(tcp, &kept, answers));
        Service { port, questions }
    }

    /// The same over TLS.
    pub(crate) fn start_tls(answers: Answers, cert: &Path, key: &Path) -> Service {
        let questions = Questions::default();
        let kept = questions.clone();
        let config = pki::server(cert, key);
        let port = scripted::host(move |tcp| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            serve(StreamOwned::new(connection, tcp), &kept, answers);
        });
        Service { port, questions }
    }

    /// What it was asked so far.
    pub(crate) fn questions(&self) -> Vec<Question> {
        self.questions.lock().unwrap().clone()
    }

    /// As `users_from` has it, with a header of its own.
    pub(crate) fn source(&self) -> String {
        format!(
            "users_from: [{{ http: \"http://127.0.0.1:{}/auth?a=b\", headers: {{ X-Key: \"a b\" }} }}]",
            self.port
        )
    }
}

impl Question {
    /// The value of a header, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let line = self.0.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        line.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }
}

/// An answer with these lines and no body.
pub(crate) fn lines(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n").into_bytes()
}

fn serve(mut stream: impl Read + Write, questions: &Questions, answers: Answers) {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    // Whoever asked may be gone at any time, that is its right.
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        text.extend_from_slice(&chunk[..n]);
        if !text.ends_with(b"\r\n\r\n") {
            continue;
        }
        let question = parse(&text);
        text.clear();
        let answer = answers(&question);
        questions.lock().unwrap().push(question);
        if stream
            .write_all(&answer)
            .and_then(|()| stream.flush())
            .is_err()
        {
            return;
        }
        // nginx speaks HTTP/1.0: it waits for the end.
        if answer.starts_with(b"HTTP/1.0") {
            return;
        }
    }
}

fn parse(text: &[u8]) -> Question {
    let lines = text.split(|c| *c == b'\n').skip(1);
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines = lines.filter(|line| !line.is_empty());
    Question(
        lines
            .map(|line| {
                let colon = line.iter().position(|c| *c == b':').unwrap();
                let name = String::from_utf8(line[..colon].to_vec()).unwrap();
                let value = line[colon + 1..].strip_prefix(b" ");
                (name, value.unwrap_or_default().to_vec())
            })
            .collect(),
    )
}
