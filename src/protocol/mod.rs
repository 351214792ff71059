//! The languages: each mail protocol up to login as a pure state machine.
//!
//! A [`Server`] plays our side towards a mail client, a [`Client`] our side towards a mail host. Both
//! eat bytes and say what to do next; nothing in here does IO, reads a clock or knows a setting it
//! was not given. One driver for each role (`session::converse`, `backend::login`) plays any of them
//! over a real stream. A login that was accepted consumes the state machine and leaves a
//! [`Handover`], the only thing a relay can be built from.
//!
//! What stands here reads octets of strangers, so nothing in it may panic or wrap around: the lints
//! below hold that, also for whatever is added.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::arithmetic_side_effects,
        clippy::panic,
        clippy::unreachable
    )
)]

pub mod failure;
pub mod imap;
pub mod line;
pub mod login;
pub mod pop3;
pub mod proxy_header;
pub mod sasl;

use std::fmt;

pub use failure::{Code, Failure, Limit, Side};
pub use login::{Credentials, Login, Mechanism, Secret, UserName};

/// A mail protocol a client can speak to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051).
    Imap,
    /// POP3 (RFC 1939).
    Pop3,
}

impl Protocol {
    /// Every protocol, for tables and metrics.
    pub const ALL: [Protocol; 2] = [Protocol::Imap, Protocol::Pop3];

    /// The word of logs, metrics and settings: `imap`, `pop3`.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Imap => "imap",
            Protocol::Pop3 => "pop3",
        }
    }

    /// What a client says that wants nothing more: LOGOUT (RFC 9051 §6.1.3), QUIT (RFC 1939 §5, §6).
    pub fn leave(self) -> &'static [u8] {
        match self {
            Protocol::Imap => b"gone LOGOUT\r\n",
            Protocol::Pop3 => b"QUIT\r\n",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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
    fn refused(&mut self) -> Option<Failure> {
        None
    }
    /// Where the conversation stands, for logs: `greeting`, `tls`, `user`, `sasl`, …
    fn state(&self) -> &'static str;
    /// Octets of memory held for what was received and is still to be said: at most [`HELD_MAX`] whatever
    /// the client sends.
    fn held(&self) -> usize;
}

/// How many octets a driver gives to [`Server::receive`] or [`Client::receive`] at a time.
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

/// What a [`Client`] wants done next. `Debug` shows how many octets there are, not which.
pub enum HostStep {
    /// Bytes from the host are needed: read, then [`Client::receive`]; at the host's end of stream
    /// call [`Client::closed`].
    Read,
    /// Write these to the host; they are handed out once. May hold credentials: never log them.
    Write(Vec<u8>),
    /// Run the TLS handshake as client, then [`Client::tls_started`].
    StartTls,
    /// The host asks the client for another message: answer with [`Client::answer`], until then do
    /// not call `step`. Handed out once for each challenge.
    Exchange(sasl::Message),
    /// Logged in. Handed out once; the conversation is over.
    Done(Box<Welcome>),
    /// Not logged in, and why. Handed out once; the conversation is over.
    Failed(Failure),
}

impl fmt::Debug for HostStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostStep::Read => f.write_str("Read"),
            HostStep::Write(octets) => f.debug_tuple("Write").field(&octets.len()).finish(),
            HostStep::StartTls => f.write_str("StartTls"),
            HostStep::Exchange(message) => f.debug_tuple("Exchange").field(message).finish(),
            HostStep::Done(welcome) => f.debug_tuple("Done").field(welcome).finish(),
            HostStep::Failed(failure) => f.debug_tuple("Failed").field(failure).finish(),
        }
    }
}

/// Our side of a protocol towards a mail host, from its greeting until login. No IO, no clock.
pub trait Client: Send {
    /// Takes bytes from the host.
    fn receive(&mut self, bytes: &[u8]);
    /// The host closed the connection: the next `step` is `Failed` (or `Done`, if it already was).
    fn closed(&mut self);
    /// What to do next.
    fn step(&mut self) -> HostStep;
    /// TLS is on: everything the host said in clear is forgotten.
    fn tls_started(&mut self);
    /// What the mail client answers to the host's challenge. Where it gave up, the host is told, and
    /// `Failed` follows without waiting for its word.
    fn answer(&mut self, answer: sasl::Answer);
    /// Where the conversation stands, for "timed out in state=capability": `greeting`, `starttls`,
    /// `capability`, `login`, …
    fn state(&self) -> &'static str;
    /// Whether credentials (or a part of them) have been handed out to be written: from then on a
    /// dropped connection must not be tried again on its own.
    fn credentials_sent(&self) -> bool;
}

/// A host's yes to a login. `Debug` shows how many octets there are, not which.
#[derive(Default)]
pub struct Welcome {
    /// The human text of the host's OK, sanitised (printable ASCII, cut to 200 octets).
    pub text: String,
    /// IMAP: what the host can do after login, if it is known without asking again (the tagged OK's
    /// `[CAPABILITY …]`, or an untagged CAPABILITY after the login command). Already cleaned of
    /// what a client must not see (`STARTTLS`, `AUTH=…`, `LOGINDISABLED`, `UNAUTHENTICATE`,
    /// `COMPRESS=…` where the first of these two was there). Upper-case atoms in the host's order.
    pub capabilities: Option<Vec<String>>,
    /// IMAP: whether a client could leave its login behind and make another, past the routing.
    pub unauthenticate: UnauthenticateOffer,
    /// IMAP: untagged lines that came before the tagged OK and that the client has a right to see
    /// (ALERT, unsolicited data), each with its CRLF, at most 8 KiB.
    pub untagged: Vec<u8>,
    /// Bytes of the host that came behind the OK.
    pub rest: Vec<u8>,
    /// Whether the bytes given to be sent behind the login went out with it.
    pub behind: Behind,
}

impl fmt::Debug for Welcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Welcome")
            .field("text", &self.text.len())
            .field("capabilities", &self.capabilities)
            .field("unauthenticate", &self.unauthenticate)
            .field("untagged", &self.untagged.len())
            .field("rest", &self.rest.len())
            .field("behind", &self.behind)
            .finish()
    }
}

/// Whether a host offers UNAUTHENTICATE (RFC 8437) after login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnauthenticateOffer {
    /// It has not said what it can do after login.
    #[default]
    Unknown,
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// Whether commands given to a [`Client`] to be sent behind its login were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behind {
    /// Still to be sent by whoever takes over.
    #[default]
    NotSent,
    /// They went out in the same burst; their answers are in [`Welcome::rest`] or still to come.
    Sent,
}

/// What is still due to either side when a login has been accepted. Only [`Server::accept`] makes
/// one, so that a failed login cannot be bridged. The observer was shown both remainders already:
/// who relays shows it what is read from then on.
pub struct Handover {
    /// To be written to the client first: the OK to its login, and what came behind the host's.
    pub to_client: Vec<u8>,
    /// To be written to the host first: commands that the client sent behind its login.
    pub to_host: Vec<u8>,
    /// Knows where the protocol's goodbye may stand. What stands in `to_client` and `to_host` has
    /// been shown to it already; the relay goes on from there.
    pub observer: Box<dyn Observer>,
    /// Makes sure that only code in `protocol` builds a `Handover`.
    _made_here: MadeHere,
}

struct MadeHere;

impl Handover {
    pub(in crate::protocol) fn new(
        to_client: Vec<u8>,
        to_host: Vec<u8>,
        observer: Box<dyn Observer>,
    ) -> Self {
        Handover {
            to_client,
            to_host,
            observer,
            _made_here: MadeHere,
        }
    }
}

#[cfg(test)]
impl Handover {
    /// A hand-over out of thin air, for tests of what comes after a login.
    pub(crate) fn for_tests(
        to_client: &[u8],
        to_host: &[u8],
        observer: impl Observer + 'static,
    ) -> Self {
        Handover::new(to_client.to_vec(), to_host.to_vec(), Box::new(observer))
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("to_client", &self.to_client.len())
            .field("to_host", &self.to_host.len())
            .finish()
    }
}

/// Watches a relayed conversation, just enough to know where the protocol's goodbye may stand.
///
/// It is fed every octet of both directions from the first one after the login on (who joins late
/// cannot know the state) and must cost bulk data nothing.
pub trait Observer: Send {
    /// Octets from the client, as they are passed on.
    fn client_to_host(&mut self, bytes: &[u8]) -> Verdict;
    /// Octets from the host, about to be passed on. What must not reach the client is made harmless in
    /// place: as many octets as there were.
    fn host_to_client(&mut self, bytes: &mut [u8]);
    /// The words that may be written to the client right now to end the session; `None` while
    /// nothing may be said here (inside a literal or a multi-line answer, or a command is running):
    /// ask again after the next octets, of either side. An empty vector: close without words. In a
    /// protocol without an unasked goodbye the words take the place of an answer that is due, so a
    /// shutdown may be told to wait for the next command; whoever asks has a deadline of their own.
    fn goodbye(&self, reason: Farewell) -> Option<Vec<u8>>;
}

/// What an [`Observer`] thinks of the client's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass them on.
    Pass,
    /// They start a command that must not reach the host (UNAUTHENTICATE and the like): end the
    /// session, pass nothing of this chunk on.
    End,
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

/// Whether an upgrade to TLS is offered (front), or demanded (host leg).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// Yes. On the host leg: before anything else, and never back to clear text.
    Yes,
    /// No.
    No,
}

/// Whether a login is taken in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClearLogin {
    /// `cleartext_login: true`.
    Allowed,
    /// The default: `[PRIVACYREQUIRED]`.
    Refused,
}

/// What a [`Client`] is given: how to log in to a host.
#[derive(Clone, Debug)]
pub struct HostLogin {
    /// The name the host knows the user by.
    pub user: UserName,
    /// What proves it.
    pub credentials: Credentials,
    /// Whether the connection must be upgraded to TLS first.
    pub starttls: StartTls,
    /// Unpredictable; command tags are made from it, so that a host cannot answer a command before
    /// it was sent.
    pub seed: u128,
    /// Who the client is, to be told to a host that offers to hear it (IMAP ID, POP3 XCLIENT).
    pub origin: Option<Origin>,
    /// Whole commands to be sent behind the login in the same burst, if the host bears pipelining
    /// and the login needs no further turn. Their tags are the caller's business. Empty: none.
    pub behind: Vec<u8>,
}

impl HostLogin {
    /// Of nobody: for a look at what a host can do, which ends before it.
    pub fn nobody(starttls: StartTls, seed: u128) -> Self {
        HostLogin {
            user: UserName::nobody(),
            credentials: Credentials::Certificate,
            starttls,
            seed,
            origin: None,
            behind: Vec::new(),
        }
    }
}

/// How far a [`Client`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To the accepted login.
    LogIn,
    /// Until it is known what the host can do: asked anew, whatever was remembered. No credentials
    /// are sent, and the [`Welcome`] is empty.
    Look,
}

/// Who a client is, as it is told to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's real address and port.
    pub client: std::net::SocketAddr,
    /// The address and port it connected to.
    pub connected: std::net::SocketAddr,
    /// The session's id.
    pub session: String,
    /// How many more gateways may follow; a login whose TTL is used up is a loop.
    pub ttl: u8,
    /// Whether the client came in under TLS: `x-client-transport`.
    pub transport: Transport,
}

/// How a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Under TLS.
    Tls,
    /// In clear.
    Insecure,
}
