//! What a front's core is: our side towards a mail client, what it is given, what it wants done and
//! how it ends.

#[cfg(test)]
pub(in crate::protocol) mod checks;

use std::fmt;

use super::{Failure, Handover, Login, Mechanism, StartTls, UserName, Welcome, sasl};

/// What a [`Server`] wants done next. `Debug` shows how many octets there are, not which.
pub enum Step {
    /// Bytes from the client are needed: read, then [`Server::receive`]. At the client's end of
    /// stream the driver closes.
    Read,
    /// Write these to the client; they are handed out once.
    Write(Vec<u8>),
    /// Run the TLS handshake, then [`Server::tls_started`]. Everything to be said in clear was
    /// handed out as `Write` before.
    StartTls,
    /// Somebody shows credentials: answer with [`Server::reject`] or [`Server::accept`]. Handed out
    /// once; until it is answered the driver does not call `step` or `receive`.
    Login(Login),
    /// The client answers a challenge: it goes to whoever sent that by [`Server::challenge`]. The
    /// login is as undecided as before: until the next call of `challenge`, `reject` or `accept` the
    /// driver does not call `step` or `receive`.
    Exchange(sasl::Answer),
    /// The conversation is over: flush and close.
    Close(Closing),
}

/// Why a server ends a conversation in which nobody logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The client said LOGOUT or QUIT.
    Logout,
    /// Too many commands that are none.
    BadCommands,
    /// A line or a literal beyond what is read.
    TooLong,
    /// A browser was made to talk to us.
    Http,
    /// By [`Server::farewell`]: whoever called it knows why.
    Farewell,
}

impl Closing {
    /// For the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Closing::Logout => "logout",
            Closing::BadCommands => "bad commands",
            Closing::TooLong => "line too long",
            Closing::Http => "http",
            Closing::Farewell => "farewell",
        }
    }
}

/// A login attempt that was refused without asking anybody.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub failure: Failure,
    /// Who tried, as far as it was said.
    pub user: Option<UserName>,
    /// How, if that is known here.
    pub mechanism: Option<Mechanism>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Refused {
            failure,
            user: None,
            mechanism: None,
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Read => f.write_str("Read"),
            Step::Write(octets) => f.debug_tuple("Write").field(&octets.len()).finish(),
            Step::StartTls => f.write_str("StartTls"),
            Step::Login(login) => f.debug_tuple("Login").field(login).finish(),
            Step::Exchange(answer) => f.debug_tuple("Exchange").field(answer).finish(),
            Step::Close(why) => f.debug_tuple("Close").field(why).finish(),
        }
    }
}

/// Our side of a protocol towards a mail client, until login. No IO, no clock.
///
/// The order of calls: `step` until it says `Read`, then `receive`, and so on. A server buffers at
/// most one command (its named limits) and one chunk given to `receive`: give at most
/// [`READ_CHUNK`] octets at a time and only after `Read`.
pub trait Server: Send {
    /// Takes bytes from the client.
    fn receive(&mut self, bytes: &[u8]);
    /// What to do next.
    fn step(&mut self) -> Step;
    /// TLS is on: everything that came in clear is forgotten (RFC 9051 §6.2.1, RFC 2595 §4).
    fn tls_started(&mut self);
    /// The client has shown a certificate that was verified, and this is the name in it: EXTERNAL is
    /// offered from now on (RFC 4422 appendix A). Told before the first `step`, or directly behind
    /// [`tls_started`](Server::tls_started).
    fn certificate_shown(&mut self, name: UserName);
    /// So many octets are held beside it as long as it lives, of a certificate for one: its longest lines are
    /// shorter by that, as far as tokens of 12,000 octets still work.
    fn hold_less(&mut self, octets: usize);
    /// What is served from now on: TLS has told which server the client asked for. Told directly behind
    /// [`tls_started`](Server::tls_started).
    fn serve(&mut self, mechanisms: sasl::Mechanisms);
    /// The client's address is one that gateways may have: a protocol in which they tell who their
    /// client is only where that is offered offers it. Told before the first `step`.
    fn sender_trusted(&mut self) {}
    /// How many more gateways the client (a gateway itself) lets its login pass, if it said so: one
    /// that comes around in a circle is found by that.
    fn ttl(&self) -> Option<u8>;
    /// The login is not decided yet: the host asks the client for another message first. What the
    /// client answers comes as [`Step::Exchange`].
    fn challenge(&mut self, challenge: &sasl::Message);
    /// The login failed: says so in the protocol's own words; the talk goes on.
    fn reject(&mut self, failure: &Failure);
    /// The login succeeded: ends the conversation.
    fn accept(self: Box<Self>, welcome: Welcome) -> Handover;
    /// The words to say when the gateway ends the conversation. May be empty (a protocol that has
    /// no unasked goodbye).
    fn farewell(&mut self, reason: Farewell) -> Vec<u8>;
    /// The login attempt that was refused in the step just taken without asking anybody (before TLS,
    /// or with credentials nobody can have): for the log. Told once.
    fn refused(&mut self) -> Option<Refused> {
        None
    }
    /// Where the conversation stands, for logs: `greeting`, `tls`, `user`, `sasl`, …
    fn state(&self) -> &'static str;
    /// Octets of memory held for what was received and is still to be said: at most [`HELD_MAX`] whatever
    /// the client sends.
    fn held(&self) -> usize;
}

/// Most octets that a driver gives to [`Server::receive`] or [`Client::receive`](super::Client::receive)
/// at a time.
///
/// With the longest command of 32 KiB (a SASL line) this keeps a core within [`HELD_MAX`].
pub const READ_CHUNK: usize = 8 * 1024;

/// Most octets that a [`Server`] holds. With a TLS record that is not whole beside it a connection before
/// login stays under the promised 64 KiB, whatever it sends.
pub const HELD_MAX: usize = 45 * 1024;

/// Why the gateway ends a conversation that the client did not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Farewell {
    /// The time for login, or the idle time, is over.
    Timeout,
    /// The gateway is shutting down or draining.
    Shutdown,
    /// A limit on connections was reached.
    TooMany,
    /// Too many failed logins on this connection.
    TooManyFailures,
    /// An operator ended the session (kick, move, drained host).
    Kicked,
}

/// What a [`Server`] is given: how our side of a listener behaves before login.
#[derive(Clone, Debug)]
pub struct FrontSettings {
    /// Text after `* OK [CAPABILITY …]` or `+OK`.
    pub greeting: String,
    /// The session's id: every failure text ends with it, as ` (ID)`.
    pub session: String,
    /// Clear text or TLS, and what follows from it.
    pub channel: Channel,
    /// List shown before login instead of ours (IMAP CAPABILITY, POP3 CAPA), one item an element.
    pub capabilities: Option<Vec<String>>,
    /// The SASL mechanisms that are served; what is listed is of these.
    pub mechanisms: sasl::Mechanisms,
    /// Longest command before login, literals included; ID and SASL lines may have 32 KiB.
    pub line: usize,
    /// Bad commands before login until a goodbye and close; good ones between do not reset it.
    pub bad_commands: u32,
}

/// How the octets of a client travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// In clear.
    Clear {
        /// Whether STARTTLS or STLS is offered.
        starttls: StartTls,
        /// Whether a login is taken before TLS.
        login: ClearLogin,
    },
    /// Under TLS.
    Tls,
}

/// Whether a login is taken in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearLogin {
    /// `cleartext_login: true`.
    Allowed,
    /// The default: `[PRIVACYREQUIRED]`.
    Refused,
}
