//! The commands we send to a host before login: which login it can do, and their exact bytes.

use std::collections::VecDeque;
use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::capability::{Capabilities, Extension};
use crate::protocol::imap::tags;
use crate::protocol::sasl::{Relayed, relayed};
use crate::protocol::{Credentials, Failure, Origin, Secret, Transport, UserName};

/// Bytes that may hold a password: wiped when dropped.
pub(super) type Wiped = Zeroizing<Vec<u8>>;

/// A command's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.0.as_bytes() == word
    }

    /// `tag command CRLF`
    pub(super) fn line(&self, command: impl Display) -> Vec<u8> {
        format!("{} {command}\r\n", self.0).into_bytes()
    }
}

/// The tags of one login, see [`tags`].
#[derive(Debug)]
pub(super) struct Tags {
    seed: u128,
    next: u64,
}

impl Tags {
    pub(super) fn new(seed: u128) -> Self {
        Tags { seed, next: 0 }
    }

    pub(super) fn next(&mut self) -> Tag {
        let letters = tags::letters(self.seed, self.next);
        self.next = self.next.wrapping_add(1);
        Tag(letters
            .to_ascii_uppercase()
            .into_iter()
            .map(char::from)
            .collect())
    }
}

/// The command that logs in. Only behind LOGIN may more be sent in the same write: from the end of a
/// SASL exchange on a security layer may count (RFC 4422 §3.7), so a host may throw away what it
/// read ahead of that, and Cyrus does even where there is no such layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Login,
    Authenticate,
}

/// Whether more is to be sent in the same write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    ByNothing,
    ByCommands,
}

/// A login as it goes over the wire: what is sent at once, and what after each `+`.
pub(super) struct Attempt {
    pub(super) tag: Tag,
    pub(super) verb: Verb,
    pub(super) first: Wiped,
    pub(super) turns: VecDeque<Turn>,
    /// The exchange that may follow, where the credentials are relayed.
    pub(super) relayed: Option<Relayed>,
    /// What it takes the host's word for.
    pub(super) relies_on: Option<Extension>,
    /// The initial response, for a host that asks for it all the same.
    pub(super) again: Option<Wiped>,
}

/// What is sent after a `+`.
pub(super) enum Turn {
    /// These octets.
    Octets(Wiped),
    /// The [`response`] of credentials that are relayed: made when it is asked for, as a host may take its time
    /// and tokens are long.
    Response,
}

/// Longest LOGIN argument sent as a quoted string: old servers read a command line into a few
/// kilobytes. Longer ones go as literals.
const QUOTED_MAX: usize = 1024;

/// Longest initial response that is sent in the command's own line. Commands are read into 8 KiB by
/// many servers (RFC 7162 §4 asks for no more), answers to a challenge into what a token needs.
const INITIAL_MAX: usize = 7 * 1024;

/// Longest literal that goes without asking where the host says LITERAL- (RFC 7888 §5).
const LITERAL_MINUS_MAX: usize = 4096;

/// The login with the fewest turns that this host can do and that carries these credentials.
///
/// Tokens and SCRAM go by their own mechanism or not at all. For a password,
/// `AUTHENTICATE PLAIN` with its initial response (RFC 4959) takes one turn, so does `LOGIN` with
/// quoted strings or with literals that are not asked for (RFC 7888). Those fail, more than a turn
/// is taken: `AUTHENTICATE PLAIN` in two steps, then `LOGIN` with plain literals. Octets outside
/// ASCII never go into a quoted string, where RFC 3501 forbids them; quotes and backslashes go there
/// only if there is no SASL, because servers were seen that do not unescape. A login that is followed
/// by commands is a `LOGIN` where that takes one turn.
pub(super) fn attempt(
    tag: Tag,
    can: &Capabilities,
    user: &UserName,
    credentials: &Credentials,
    followed: Followed,
) -> Result<Attempt, Failure> {
    if let Some(relayed) = Relayed::new(credentials) {
        return sasl(tag, can, user, credentials, relayed);
    }
    let password = credentials.secret().ok_or_else(|| Failure::HostSetup {
        cause: "a login by certificate shows nothing that a host could check".into(),
    })?;
    let arguments = [user.as_str().as_bytes(), password.reveal()];
    let sasl = can.has("AUTH=PLAIN");
    let login = !can.has("LOGINDISABLED");
    let literals = Literals::of(can);

    let plain_at_once_goes = sasl && can.has("SASL-IR");
    let login_at_once = if !login {
        None
    } else if arguments.iter().all(|it| goes_bare(it)) {
        Some(Form::Quoted)
    } else if arguments.iter().all(|it| literals.at_once(it)) {
        Some(Form::Literal(literals))
    } else {
        None
    };
    if let Some(form) = login_at_once
        && (followed == Followed::ByCommands || !plain_at_once_goes)
    {
        Ok(login_with(tag, arguments, form))
    } else if plain_at_once_goes {
        Ok(plain_at_once(tag, user, password))
    } else if sasl {
        Ok(plain_in_two(tag, user, password))
    } else if login && arguments.iter().all(|it| goes_quoted(it)) {
        Ok(login_with(tag, arguments, Form::Quoted))
    } else if login {
        Ok(login_with(tag, arguments, Form::Literal(literals)))
    } else {
        Err(Failure::HostSetup {
            cause: "it says LOGINDISABLED and offers no AUTH=PLAIN; \
                    it may want TLS first (imap+starttls:// or imaps://)"
                .into(),
        })
    }
}

/// AUTHENTICATE by the one mechanism that these credentials are of.
fn sasl(
    tag: Tag,
    can: &Capabilities,
    user: &UserName,
    credentials: &Credentials,
    relayed: Relayed,
) -> Result<Attempt, Failure> {
    let mechanism = relayed.mechanism();
    let response = response(user, credentials).filter(|_| can.mechanisms().has(mechanism));
    let Some(response) = response else {
        let name = mechanism.name();
        let cause = format!("it offers no AUTH={name}, as this login needs");
        return Err(credentials.not_taken(cause));
    };
    let command = tag.line(format_args!("AUTHENTICATE {}", mechanism.name()));
    let at_once = can.has("SASL-IR") && response.trim_ascii_end().len() <= INITIAL_MAX;
    let (first, turns, again) = match at_once {
        true => {
            let mut line = room(
                command
                    .len()
                    .saturating_add(1)
                    .saturating_add(response.len()),
            );
            line.extend_from_slice(command.trim_ascii_end());
            line.push(b' ');
            line.extend_from_slice(&response);
            (line, VecDeque::new(), Some(response))
        }
        false => (Zeroizing::new(command), [Turn::Response].into(), None),
    };
    Ok(Attempt {
        tag,
        verb: Verb::Authenticate,
        first,
        turns,
        relayed: Some(relayed),
        relies_on: at_once.then_some(Extension::InitialResponse),
        again,
    })
}

/// The first message of credentials that are relayed, with CRLF; none: they are of another kind.
pub(super) fn response(user: &UserName, credentials: &Credentials) -> Option<Wiped> {
    let mut response = relayed::first(user, credentials)?;
    let mut line = room(response.len().saturating_add(2));
    line.append(&mut response);
    line.extend_from_slice(b"\r\n");
    Some(line)
}

fn goes_quoted(argument: &[u8]) -> bool {
    argument.len() <= QUOTED_MAX && argument.iter().all(|b| matches!(b, b' '..=b'~'))
}

fn goes_bare(argument: &[u8]) -> bool {
    goes_quoted(argument) && !argument.iter().any(|b| matches!(b, b'"' | b'\\'))
}

/// AUTHENTICATE with an initial response (RFC 4959 §3).
fn plain_at_once(tag: Tag, user: &UserName, password: &Secret) -> Attempt {
    let response = plain(user, password);
    let mut first = room(response.len().saturating_add(64));
    first.extend_from_slice(tag.line("AUTHENTICATE PLAIN").trim_ascii_end());
    first.push(b' ');
    first.extend_from_slice(&response);
    Attempt {
        tag,
        verb: Verb::Authenticate,
        first,
        turns: VecDeque::new(),
        relayed: None,
        relies_on: Some(Extension::InitialResponse),
        again: Some(response),
    }
}

/// AUTHENTICATE (RFC 9051 §6.2.2), the response after the `+`.
fn plain_in_two(tag: Tag, user: &UserName, password: &Secret) -> Attempt {
    Attempt {
        first: Zeroizing::new(tag.line("AUTHENTICATE PLAIN")),
        tag,
        verb: Verb::Authenticate,
        turns: [Turn::Octets(plain(user, password))].into(),
        relayed: None,
        relies_on: None,
        again: None,
    }
}

/// PLAIN (RFC 4616 §2) in base64, with CRLF: `[authzid] NUL authcid NUL passwd`, no authzid.
pub(super) fn plain(user: &UserName, password: &Secret) -> Wiped {
    let (user, password) = (user.as_str().as_bytes(), password.reveal());
    let mut message = room(user.len().saturating_add(password.len()).saturating_add(2));
    message.push(0);
    message.extend_from_slice(user);
    message.push(0);
    message.extend_from_slice(password);
    let encoded = Zeroizing::new(BASE64.encode(&message[..]));
    let mut line = room(encoded.len().saturating_add(2));
    line.extend_from_slice(encoded.as_bytes());
    line.extend_from_slice(b"\r\n");
    line
}

/// How LOGIN's arguments are written.
#[derive(Clone, Copy)]
enum Form {
    Quoted,
    Literal(Literals),
}

impl Form {
    /// Room for what is written of these arguments before the host is to answer, each octet escaped where that may be: so
    /// that nothing moves and is left behind.
    fn size(self, arguments: &[&[u8]]) -> usize {
        let octets = |factor: usize, at_once: &dyn Fn(&&&[u8]) -> bool| {
            let lengths = arguments.iter().take_while(at_once).map(|it| it.len());
            lengths
                .fold(0_usize, usize::saturating_add)
                .saturating_mul(factor)
        };
        let octets = match self {
            Form::Quoted => octets(2, &|_| true),
            Form::Literal(literals) => octets(1, &|argument| literals.at_once(argument)),
        };
        octets.saturating_add(64)
    }
}

/// Which literals a host takes without being asked.
#[derive(Clone, Copy)]
enum Literals {
    /// LITERAL+: all.
    Plus,
    /// LITERAL- or IMAP4rev2 (RFC 9051 §4.3): short ones.
    Minus,
    /// None: each costs a turn.
    Ask,
}

impl Literals {
    fn of(can: &Capabilities) -> Self {
        if can.has("LITERAL+") {
            Literals::Plus
        } else if can.has("LITERAL-") || can.has("IMAP4REV2") {
            Literals::Minus
        } else {
            Literals::Ask
        }
    }

    fn at_once(self, argument: &[u8]) -> bool {
        match self {
            Literals::Plus => true,
            Literals::Minus => argument.len() <= LITERAL_MINUS_MAX,
            Literals::Ask => false,
        }
    }
}

/// LOGIN (RFC 9051 §6.2.3): `login = "LOGIN" SP userid SP password`
fn login_with(tag: Tag, arguments: [&[u8]; 2], form: Form) -> Attempt {
    let mut now = room(form.size(&arguments));
    now.extend_from_slice(tag.line("LOGIN").trim_ascii_end());
    let mut pieces = VecDeque::new();
    let mut relies_on = None;
    let mut left: &[&[u8]] = &arguments;
    while let Some((argument, behind)) = left.split_first() {
        left = behind;
        now.push(b' ');
        match form {
            Form::Quoted => {
                now.push(b'"');
                for &b in *argument {
                    if matches!(b, b'"' | b'\\') {
                        now.push(b'\\');
                    }
                    now.push(b);
                }
                now.push(b'"');
            }
            Form::Literal(literals) => {
                let at_once = literals.at_once(argument);
                let plus = if at_once { "+" } else { "" };
                now.extend_from_slice(format!("{{{}{plus}}}\r\n", argument.len()).as_bytes());
                if at_once {
                    relies_on = Some(Extension::Literals);
                } else {
                    let size = argument.len().saturating_add(form.size(behind));
                    pieces.push_back(std::mem::replace(&mut now, room(size)));
                }
                now.extend_from_slice(argument);
            }
        }
    }
    now.extend_from_slice(b"\r\n");
    pieces.push_back(now);
    let first = pieces.pop_front().unwrap_or_default();
    Attempt {
        tag,
        verb: Verb::Login,
        first,
        turns: pieces.into_iter().map(Turn::Octets).collect(),
        relayed: None,
        relies_on,
        again: None,
    }
}

/// ID (RFC 2971 §3.1) with who the client is. The keys are those Dovecot, Open-Xchange and others
/// take from a trusted proxy.
pub(super) fn id(tag: &Tag, origin: &Origin) -> Vec<u8> {
    let transport = match origin.transport {
        Transport::Tls => "TLS",
        Transport::Insecure => "insecure",
    };
    let session = (origin.session.chars())
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\'))
        .collect::<String>();
    let (client, connected) = (origin.client, origin.connected);
    tag.line(format_args!(
        "ID (\"x-originating-ip\" \"{}\" \"x-originating-port\" \"{}\" \
         \"x-connected-ip\" \"{}\" \"x-connected-port\" \"{}\" \
         \"x-session-id\" \"{session}\" \"x-proxy-ttl\" \"{}\" \"x-client-transport\" \"{transport}\")",
        client.ip().to_canonical(),
        client.port(),
        connected.ip().to_canonical(),
        connected.port(),
        origin.ttl,
    ))
}

/// An empty buffer that need not grow: a vector that moves leaves its old octets in memory.
fn room(size: usize) -> Wiped {
    Zeroizing::new(Vec::with_capacity(size))
}
