//! An IMAP client by hand: it knows tags and literals, and shows everything else as it came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::users::User;
use super::wire::Conn;

/// An IMAP connection whose greeting is behind it.
pub(crate) struct Imap {
    pub(crate) conn: Conn,
    tags: u32,
}

/// All that came up to the tagged line.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The untagged responses as they came, literals and line ends included.
    pub(crate) untagged: Vec<u8>,
    /// The tagged line without its tag.
    pub(crate) status: String,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    LoginQuoted,
    LoginLiteral,
    LoginLiteralPlus,
    PlainInitial,
    Plain,
    Login,
}

pub(crate) const WAYS: [Way; 6] = [
    Way::LoginQuoted,
    Way::LoginLiteral,
    Way::LoginLiteralPlus,
    Way::PlainInitial,
    Way::Plain,
    Way::Login,
];

impl Imap {
    pub(crate) fn plain(port: u16) -> Imap {
        Imap::new(Conn::plain(port))
    }

    pub(crate) fn tls(port: u16) -> Imap {
        Imap::new(Conn::tls(port))
    }

    pub(crate) fn new(mut conn: Conn) -> Imap {
        let greeting = conn.text();
        assert!(greeting.starts_with("* "), "greeting {greeting:?}");
        Imap { conn, tags: 0 }
    }

    /// A connection logged in by LOGIN.
    pub(crate) fn logged_in(port: u16, user: User) -> Imap {
        let mut imap = Imap::plain(port);
        imap.login(Way::LoginLiteral, user.name, user.password).ok();
        imap
    }

    pub(crate) fn start_tls(&mut self) {
        self.command("STARTTLS").ok();
        self.conn.start_tls();
    }

    /// Sends a command and reads its answer.
    pub(crate) fn command(&mut self, command: &str) -> Answer {
        let tag = self.tag();
        self.conn.send(format!("{tag} {command}\r\n"));
        self.answer(&tag)
    }

    /// Sends a command that ends in a literal, and waits to be asked for it.
    pub(crate) fn command_with_literal(&mut self, command: &str, literal: &[u8]) -> Answer {
        let tag = self.tag();
        self.conn
            .send(format!("{tag} {command} {{{}}}\r\n", literal.len()));
        if let Some(early) = self.invited(&tag) {
            return early;
        }
        self.conn.send([literal, b"\r\n"].concat());
        self.answer(&tag)
    }

    pub(crate) fn login(&mut self, way: Way, user: &str, password: &str) -> Answer {
        let tag = self.tag();
        match way {
            Way::LoginQuoted => {
                let line = format!("{tag} LOGIN {} {}\r\n", quoted(user), quoted(password));
                self.conn.send(line);
            }
            Way::LoginLiteral => {
                self.conn
                    .send(format!("{tag} LOGIN {{{}}}\r\n", user.len()));
                if let Some(early) = self.invited(&tag) {
                    return early;
                }
                self.conn.send(format!("{user} {{{}}}\r\n", password.len()));
                if let Some(early) = self.invited(&tag) {
                    return early;
                }
                self.conn.send(format!("{password}\r\n"));
            }
            Way::LoginLiteralPlus => {
                let (n, m) = (user.len(), password.len());
                self.conn.send(format!(
                    "{tag} LOGIN {{{n}+}}\r\n{user} {{{m}+}}\r\n{password}\r\n"
                ));
            }
            Way::PlainInitial => {
                let response = plain(user, password);
                self.conn
                    .send(format!("{tag} AUTHENTICATE PLAIN {response}\r\n"));
            }
            Way::Plain => {
                self.conn.send(format!("{tag} AUTHENTICATE PLAIN\r\n"));
                if let Some(early) = self.invited(&tag) {
                    return early;
                }
                self.conn.send(format!("{}\r\n", plain(user, password)));
            }
            Way::Login => {
                self.conn.send(format!("{tag} AUTHENTICATE LOGIN\r\n"));
                for response in [user, password] {
                    if let Some(early) = self.invited(&tag) {
                        return early;
                    }
                    self.conn.send(format!("{}\r\n", BASE64.encode(response)));
                }
            }
        }
        self.answer(&tag)
    }

    /// The body of one message by UID.
    pub(crate) fn fetch(&mut self, uid: u32) -> Vec<u8> {
        let answer = self.command(&format!("UID FETCH {uid} (BODY.PEEK[])"));
        literals(&answer.ok().untagged).pop().unwrap()
    }

    /// The UIDs of the selected mailbox.
    pub(crate) fn uids(&mut self) -> Vec<u32> {
        self.search("ALL")
    }

    pub(crate) fn search(&mut self, key: &str) -> Vec<u32> {
        let answer = self.command(&format!("UID SEARCH {key}")).ok();
        let text = String::from_utf8_lossy(&answer.untagged).into_owned();
        text.lines()
            .filter_map(|line| line.strip_prefix("* SEARCH"))
            .flat_map(|rest| rest.split_whitespace().map(|uid| uid.parse().unwrap()))
            .collect()
    }

    pub(crate) fn tag(&mut self) -> String {
        self.tags += 1;
        format!("t{}", self.tags)
    }

    /// Waits for `+`; the tagged line instead is an answer too.
    pub(crate) fn invited(&mut self, tag: &str) -> Option<Answer> {
        let mut untagged = Vec::new();
        loop {
            let line = self.whole_line();
            if line.starts_with(b"+") {
                return None;
            }
            match status(&line, tag) {
                Some(status) => return Some(Answer { untagged, status }),
                None => untagged.extend_from_slice(&line),
            }
        }
    }

    pub(crate) fn answer(&mut self, tag: &str) -> Answer {
        let mut untagged = Vec::new();
        loop {
            let line = self.whole_line();
            if let Some(status) = status(&line, tag) {
                return Answer { untagged, status };
            }
            assert!(
                line.starts_with(b"* "),
                "neither untagged nor tagged {tag}: {:?}",
                String::from_utf8_lossy(&line)
            );
            untagged.extend_from_slice(&line);
        }
    }

    /// A line with its literals and its CRLF.
    fn whole_line(&mut self) -> Vec<u8> {
        let mut whole = Vec::new();
        loop {
            let line = self.conn.line();
            whole.extend_from_slice(&line);
            whole.extend_from_slice(b"\r\n");
            match literal_length(&line) {
                Some(length) => whole.extend_from_slice(&self.conn.exact(length)),
                None => return whole,
            }
        }
    }
}

impl Answer {
    /// Checks that it is OK.
    #[track_caller]
    pub(crate) fn ok(self) -> Answer {
        assert!(self.status.starts_with("OK"), "{:?}", self.status);
        self
    }

    /// Checks that it is `NO [code]`, and nothing but it.
    #[track_caller]
    pub(crate) fn no(self, code: &str) -> Answer {
        let start = format!("NO [{code}] ");
        assert!(
            self.status.starts_with(&start),
            "expected {start:?}, got {:?}",
            self.status
        );
        self
    }

    /// What stands in the untagged responses and the tagged line, as text.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.untagged), self.status)
    }
}

/// The literals in a response, in order.
pub(crate) fn literals(mut response: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some(end) = response.windows(2).position(|two| two == b"\r\n") {
        let length = literal_length(&response[..end]);
        response = &response[end + 2..];
        if let Some(length) = length {
            found.push(response[..length].to_vec());
            response = &response[length..];
        }
    }
    found
}

/// A quoted string (RFC 3501 §9). What is not ASCII goes through as it is: clients do that.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The message of SASL PLAIN (RFC 4616 §2) in base64.
pub(crate) fn plain(user: &str, password: &str) -> String {
    BASE64.encode(format!("\0{user}\0{password}"))
}

fn status(line: &[u8], tag: &str) -> Option<String> {
    let rest = line.strip_prefix(tag.as_bytes())?.strip_prefix(b" ")?;
    Some(String::from_utf8_lossy(rest).trim_end().to_owned())
}

fn literal_length(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}")?;
    let open = line.iter().rposition(|&b| b == b'{')?;
    std::str::from_utf8(&line[open + 1..]).ok()?.parse().ok()
}
