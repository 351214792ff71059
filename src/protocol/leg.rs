//! What a host's leg is: our side towards a mail host, what it is given, what it wants done and what a
//! host's yes brings along.

use std::fmt;

use super::{Credentials, Failure, StartTls, UserName, sasl};

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
