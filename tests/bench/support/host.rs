//! A synthetic mail host for benchmarks: IMAP and POP3 over mailboxes that exist only as numbers.
//!
//! The user's name says what is in the box: `n1000-s50000` is 1,000 messages of 50,000 octets. Every
//! login is taken. What the host says arrives a round trip after it was asked: each answer waits in
//! a queue until its time, so pipelined commands are not slowed one by one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// What a host counts.
#[derive(Default)]
pub struct Counts {
    /// Commands of IMAP and POP3 clients, logins included.
    pub commands: AtomicU64,
    /// Connections.
    pub connections: AtomicU64,
}

/// A host at work, until the process ends.
pub struct Host {
    /// Where it speaks IMAP.
    pub imap: SocketAddr,
    /// Where it speaks POP3.
    pub pop3: SocketAddr,
    /// What it counted.
    pub counts: Arc<Counts>,
}

/// Starts a host that is one round trip of `rtt` away.
pub fn start(rtt: Duration) -> Host {
    let counts = Arc::new(Counts::default());
    let imap = listen(rtt, counts.clone(), imap_session);
    let pop3 = listen(rtt, counts.clone(), pop3_session);
    Host { imap, pop3, counts }
}

type Play = fn(&mut Wire, &Counts);

fn listen(rtt: Duration, counts: Arc<Counts>, play: Play) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind a loopback port");
    let address = listener.local_addr().expect("the port just bound");
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let counts = counts.clone();
            thread::spawn(move || {
                counts.connections.fetch_add(1, Ordering::Relaxed);
                play(&mut Wire::new(tcp, rtt), &counts);
            });
        }
    });
    address
}

/// A connection whose writes arrive a round trip late.
struct Wire {
    reader: BufReader<TcpStream>,
    writer: Writer,
    out: Vec<u8>,
}

enum Writer {
    Now(TcpStream),
    Later(SyncSender<(Instant, Vec<u8>)>, Duration),
}

impl Wire {
    fn new(tcp: TcpStream, rtt: Duration) -> Self {
        let _ = tcp.set_nodelay(true);
        let mut far = tcp.try_clone().expect("a second handle of a socket");
        let writer = if rtt.is_zero() {
            Writer::Now(far)
        } else {
            let (send, receive) = sync_channel::<(Instant, Vec<u8>)>(256);
            thread::spawn(move || {
                for (at, bytes) in receive {
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                    if far.write_all(&bytes).is_err() {
                        return;
                    }
                }
                let _ = far.shutdown(std::net::Shutdown::Write);
            });
            Writer::Later(send, rtt)
        };
        Wire {
            reader: BufReader::with_capacity(64 * 1024, tcp),
            writer,
            out: Vec::with_capacity(128 * 1024),
        }
    }

    /// The next line without its end; what was said goes out first, unless more lines wait.
    fn line(&mut self) -> Option<String> {
        if !self.reader.buffer().contains(&b'\n') {
            self.flush();
        }
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).ok()?;
        if line.is_empty() {
            return None;
        }
        while line.last().is_some_and(u8::is_ascii_whitespace) {
            line.pop();
        }
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// A line with the literals it announces in it, each asked for, as nginx logs in.
    fn command(&mut self) -> Option<String> {
        let mut line = self.line()?;
        while let Some((before, "")) = line.rsplit_once('}')
            && let Some((before, _)) = before.rsplit_once('{')
        {
            let before = before.to_owned();
            self.say(b"+ go on\r\n");
            line = before + &self.line()?;
        }
        Some(line)
    }

    fn say(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        if self.out.len() >= 64 * 1024 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        match &mut self.writer {
            Writer::Now(tcp) => {
                let _ = tcp.write_all(&self.out);
                self.out.clear();
            }
            Writer::Later(queue, rtt) => {
                let bytes = std::mem::take(&mut self.out);
                let _ = queue.send((Instant::now() + *rtt, bytes));
            }
        }
    }
}

/// A mailbox: so many messages of one size. UIDs are 1 to `count`.
#[derive(Clone, Copy)]
struct Mailbox {
    count: u32,
    size: usize,
}

impl Mailbox {
    fn of(user: &str) -> Self {
        let number = |letter: char, default| {
            let part = user.split('-').find_map(|part| part.strip_prefix(letter));
            part.and_then(|digits| digits.parse().ok())
                .unwrap_or(default)
        };
        Mailbox {
            count: number('n', 10),
            size: number('s', 2000) as usize,
        }
    }

    /// Message text: a header, lines of 76 octets, some of which start with a dot.
    fn message(self, uid: u32) -> Vec<u8> {
        let mut text =
            format!("Subject: message {uid}\r\nMessage-ID: <{uid}@bench>\r\n\r\n").into_bytes();
        let line = format!(
            "{uid:010} {}\r\n",
            "lorem ipsum dolor sit amet consectetur adipisci ".repeat(2)
        );
        let line = &line.as_bytes()[line.len() - 78..];
        while text.len() + line.len() <= self.size {
            if text.len() % 7 == 0 {
                text.push(b'.');
                text.extend_from_slice(&line[1..]);
            } else {
                text.extend_from_slice(line);
            }
        }
        while text.len() + 2 < self.size {
            text.push(b'x');
        }
        text.extend_from_slice(b"\r\n");
        text.truncate(self.size.max(2));
        text
    }
}

const CAPABILITY: &str = "CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID ENABLE IDLE UIDPLUS ESEARCH NAMESPACE MOVE AUTH=PLAIN";

fn imap_session(wire: &mut Wire, counts: &Counts) {
    wire.say(format!("* OK [{CAPABILITY}] bench ready\r\n").as_bytes());
    let mut mailbox = Mailbox { count: 0, size: 0 };
    while let Some(line) = wire.command() {
        let mut words = line.split(' ');
        let (tag, verb) = (words.next().unwrap_or("*"), words.next().unwrap_or(""));
        counts.commands.fetch_add(1, Ordering::Relaxed);
        let rest = line.get(tag.len() + verb.len() + 2..).unwrap_or("");
        let mut done = format!("{tag} OK done\r\n");
        match verb.to_ascii_uppercase().as_str() {
            "CAPABILITY" => wire.say(format!("* {CAPABILITY}\r\n").as_bytes()),
            "LOGIN" => {
                mailbox = Mailbox::of(rest.split(' ').next().unwrap_or("").trim_matches('"'));
                done = format!("{tag} OK [{CAPABILITY}] in\r\n");
            }
            "AUTHENTICATE" => {
                let plain = rest.split(' ').nth(1).unwrap_or("");
                mailbox = Mailbox::of(&user_of(plain));
                done = format!("{tag} OK [{CAPABILITY}] in\r\n");
            }
            "LIST" => wire.say(b"* LIST () \"/\" \"\"\r\n"),
            "NAMESPACE" => wire.say(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"),
            "SELECT" | "EXAMINE" => {
                let (n, next) = (mailbox.count, mailbox.count + 1);
                let text = format!(
                    "* FLAGS (\\Seen \\Deleted)\r\n* {n} EXISTS\r\n* 0 RECENT\r\n\
                     * OK [PERMANENTFLAGS (\\Seen \\Deleted)] ok\r\n\
                     * OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT {next}] ok\r\n"
                );
                wire.say(text.as_bytes());
                done = format!("{tag} OK [READ-WRITE] done\r\n");
            }
            "STATUS" => {
                let (n, next) = (mailbox.count, mailbox.count + 1);
                let text =
                    format!("* STATUS INBOX (MESSAGES {n} UIDNEXT {next} UIDVALIDITY 7)\r\n");
                wire.say(text.as_bytes());
            }
            "UID" => imap_uid(wire, rest, mailbox),
            "IDLE" => {
                wire.say(b"+ idling\r\n");
                if wire.line().is_none() {
                    return;
                }
            }
            "LOGOUT" => {
                wire.say(format!("* BYE bye\r\n{done}").as_bytes());
                wire.flush();
                return;
            }
            _ => {}
        }
        wire.say(done.as_bytes());
    }
}

fn imap_uid(wire: &mut Wire, rest: &str, mailbox: Mailbox) {
    let mut words = rest.split(' ');
    let verb = words.next().unwrap_or("").to_ascii_uppercase();
    match verb.as_str() {
        "FETCH" => {
            let set = words.next().unwrap_or("");
            let items = rest.to_ascii_uppercase();
            for uid in uids(set, mailbox.count) {
                let mut row = format!("* {uid} FETCH (UID {uid}");
                if items.contains("FLAGS") {
                    row += " FLAGS ()";
                }
                if items.contains("RFC822.SIZE") {
                    row += &format!(" RFC822.SIZE {}", mailbox.size);
                }
                if let Some(at) = items.find("BODY.PEEK[]") {
                    let text = mailbox.message(uid);
                    let window = items.get(at + 11..).and_then(partial);
                    let (label, from, to) = match window {
                        Some((from, len)) => {
                            let from = from.min(text.len());
                            (format!("<{from}>"), from, (from + len).min(text.len()))
                        }
                        None => (String::new(), 0, text.len()),
                    };
                    row += &format!(" BODY[]{label} {{{}}}\r\n", to - from);
                    wire.say(row.as_bytes());
                    wire.say(&text[from..to]);
                    row.clear();
                }
                row += ")\r\n";
                wire.say(row.as_bytes());
            }
        }
        "SEARCH" if mailbox.count > 0 => {
            wire.say(format!("* ESEARCH UID ALL 1:{}\r\n", mailbox.count).as_bytes());
        }
        _ => {}
    }
}

/// `<0.4096>` behind a section.
fn partial(rest: &str) -> Option<(usize, usize)> {
    let (from, len) = rest.strip_prefix('<')?.split_once('>')?.0.split_once('.')?;
    Some((from.parse().ok()?, len.parse().ok()?))
}

fn uids(set: &str, last: u32) -> Vec<u32> {
    let number = |text: &str| match text {
        "*" => last,
        digits => digits.parse().unwrap_or(0),
    };
    let mut all = Vec::new();
    for range in set.split(',') {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        let (from, to) = (number(from), number(to));
        all.extend(from.min(to)..=from.max(to).min(last));
    }
    all.retain(|uid| (1..=last).contains(uid));
    all
}

/// The name in a SASL PLAIN response.
fn user_of(plain: &str) -> String {
    let mut octets = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for c in plain.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push((bits >> held) as u8);
        }
    }
    let mut parts = octets.split(|octet| *octet == 0).skip(1);
    String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned()
}

fn pop3_session(wire: &mut Wire, counts: &Counts) {
    wire.say(b"+OK bench ready\r\n");
    let mut mailbox = Mailbox { count: 0, size: 0 };
    while let Some(line) = wire.line() {
        counts.commands.fetch_add(1, Ordering::Relaxed);
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or("").to_ascii_uppercase();
        let argument = words.next().unwrap_or("");
        match verb.as_str() {
            "CAPA" => wire.say(b"+OK\r\nUIDL\r\nTOP\r\nUSER\r\nPIPELINING\r\n.\r\n"),
            "USER" => {
                mailbox = Mailbox::of(argument);
                wire.say(b"+OK\r\n");
            }
            "STAT" => {
                let octets = mailbox.count as usize * mailbox.size;
                wire.say(format!("+OK {} {octets}\r\n", mailbox.count).as_bytes());
            }
            "LIST" => {
                wire.say(b"+OK\r\n");
                for n in 1..=mailbox.count {
                    wire.say(format!("{n} {}\r\n", mailbox.size).as_bytes());
                }
                wire.say(b".\r\n");
            }
            "UIDL" => {
                wire.say(b"+OK\r\n");
                for n in 1..=mailbox.count {
                    wire.say(format!("{n} {n:08x}00000007\r\n").as_bytes());
                }
                wire.say(b".\r\n");
            }
            "RETR" => {
                let text = mailbox.message(argument.parse().unwrap_or(1));
                wire.say(format!("+OK {} octets\r\n", text.len()).as_bytes());
                for line in text.split_inclusive(|c| *c == b'\n') {
                    if line.first() == Some(&b'.') {
                        wire.say(b".");
                    }
                    wire.say(line);
                }
                wire.say(b".\r\n");
            }
            "QUIT" => {
                wire.say(b"+OK\r\n");
                wire.flush();
                let _ = wire.reader.read(&mut [0; 1]);
                return;
            }
            _ => wire.say(b"+OK\r\n"),
        }
    }
}
