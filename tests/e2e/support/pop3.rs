//! A POP3 client by hand. Multi-line responses are shown as they came, stuffed dots included: what
//! is compared is what stands on the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::imap::plain;
use super::users::User;
use super::wire::Conn;

/// A POP3 connection whose greeting is behind it.
pub(crate) struct Pop3 {
    pub(crate) conn: Conn,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    UserPass,
    PlainInitial,
    Plain,
    Login,
}

pub(crate) const WAYS: [Way; 4] = [Way::UserPass, Way::PlainInitial, Way::Plain, Way::Login];

impl Pop3 {
    pub(crate) fn plain(port: u16) -> Pop3 {
        Pop3::new(Conn::plain(port))
    }

    pub(crate) fn tls(port: u16) -> Pop3 {
        Pop3::new(Conn::tls(port))
    }

    pub(crate) fn new(mut conn: Conn) -> Pop3 {
        let greeting = conn.text();
        assert!(greeting.starts_with("+OK"), "greeting {greeting:?}");
        Pop3 { conn }
    }

    /// A connection logged in by USER and PASS.
    #[track_caller]
    pub(crate) fn logged_in(port: u16, user: User) -> Pop3 {
        let mut pop3 = Pop3::plain(port);
        let answer = pop3.login(Way::UserPass, user.name, user.password);
        assert!(answer.starts_with("+OK"), "{answer:?}");
        pop3
    }

    pub(crate) fn start_tls(&mut self) {
        self.ok("STLS");
        self.conn.start_tls();
    }

    /// Sends a command and gives the status line.
    pub(crate) fn command(&mut self, command: &str) -> String {
        self.conn.send(format!("{command}\r\n"));
        self.conn.text()
    }

    /// Sends a command that must succeed; gives the text behind `+OK `.
    #[track_caller]
    pub(crate) fn ok(&mut self, command: &str) -> String {
        let answer = self.command(command);
        match answer.strip_prefix("+OK") {
            Some(text) => text.trim_start().to_owned(),
            None => panic!("{command}: {answer:?}"),
        }
    }

    /// Sends a command that must fail; gives the whole line.
    #[track_caller]
    pub(crate) fn err(&mut self, command: &str) -> String {
        let answer = self.command(command);
        assert!(answer.starts_with("-ERR"), "{command}: {answer:?}");
        answer
    }

    /// Sends a command with a multi-line response; gives its octets up to and with the final
    /// `.` line, or the refusal.
    pub(crate) fn try_multi(&mut self, command: &str) -> Result<Vec<u8>, String> {
        let answer = self.command(command);
        if !answer.starts_with("+OK") {
            return Err(answer);
        }
        let mut octets = Vec::new();
        loop {
            let line = self.conn.line();
            octets.extend_from_slice(&line);
            octets.extend_from_slice(b"\r\n");
            if line == b"." {
                return Ok(octets);
            }
        }
    }

    #[track_caller]
    pub(crate) fn multi(&mut self, command: &str) -> Vec<u8> {
        match self.try_multi(command) {
            Ok(octets) => octets,
            Err(answer) => panic!("{command}: {answer:?}"),
        }
    }

    /// The lines of a multi-line response, without the final dot.
    #[track_caller]
    pub(crate) fn lines(&mut self, command: &str) -> Vec<String> {
        let octets = self.multi(command);
        let mut lines: Vec<String> = String::from_utf8_lossy(&octets)
            .lines()
            .map(str::to_owned)
            .collect();
        lines.pop();
        lines
    }

    pub(crate) fn login(&mut self, way: Way, user: &str, password: &str) -> String {
        match way {
            Way::UserPass => {
                let answer = self.command(&format!("USER {user}"));
                if !answer.starts_with("+OK") {
                    return answer;
                }
                self.command(&format!("PASS {password}"))
            }
            Way::PlainInitial => self.command(&format!("AUTH PLAIN {}", plain(user, password))),
            Way::Plain => {
                let answer = self.command("AUTH PLAIN");
                if !answer.starts_with('+') {
                    return answer;
                }
                self.command(&plain(user, password))
            }
            Way::Login => {
                let mut answer = self.command("AUTH LOGIN");
                for response in [user, password] {
                    if !answer.starts_with("+ ") {
                        return answer;
                    }
                    answer = self.command(&BASE64.encode(response));
                }
                answer
            }
        }
    }
}

/// A message as a client stores it: without the final line and the stuffed dots (RFC 1939 §3).
pub(crate) fn unstuffed(multi: &[u8]) -> Vec<u8> {
    let body = multi.strip_suffix(b".\r\n").unwrap();
    let mut message = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|&b| b == b'\n') {
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    message
}
