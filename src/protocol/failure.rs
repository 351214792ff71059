//! Why a login failed: whose side it is, whether another host may help, and what the log calls it.
//!
//! What the client is told is each protocol's business, one `match` in its `reply.rs`. The rule
//! behind it: a host's outage is never told as a wrong password (clients would ask their user for it
//! again), and what a host said goes to the log only.

use std::fmt;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client showed something wrong.
    Client,
    /// The gateway's settings, limits or sources.
    Gateway,
    /// The mail host.
    Host,
}

/// Why a login failed. The strings are for the operator's log, never for the client, but for those
/// of `NotAllowed`, `Declined` and `Maintenance`, which an operator wrote for the user, and
/// `Refused::alert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name or the password is wrong, or they cannot be valid (empty, control characters).
    Credentials,
    /// The client gave up an exchange with the host, after a challenge of the host's. Counted and
    /// delayed as wrong credentials are: the host was asked about a user, and said something.
    Aborted,
    /// The client left before anybody had judged what it showed. One that only ended its half may still hear
    /// of it.
    Left,
    /// A login before TLS where that is not allowed.
    PrivacyRequired,
    /// A way to log in that is not offered here: a SASL mechanism, APOP. Nothing was shown that could be
    /// right or wrong.
    UnsupportedMechanism {
        /// Its name, as [`sasl::known_name`](super::sasl::known_name) gives it.
        name: &'static str,
    },
    /// An operator turned this user away; the text is for the user (`reject:` in the map).
    NotAllowed {
        /// The operator's words, if any.
        text: Option<String>,
    },
    /// The backend takes no logins of this protocol (`protocols:`). Told exactly as `NotAllowed`.
    NotServed,
    /// A limit or a penalty: connections, sessions, failed logins.
    TooMany {
        /// Which limit, for the log.
        limit: Limit,
    },
    /// No entry of the map matches. Told exactly as `Credentials`.
    NoRoute,
    /// A lookup service turned the login down, in words for the user.
    Declined {
        /// Its words, cut to one line.
        text: String,
        /// What they mean: wrong credentials, or not now.
        code: Code,
        /// After how many seconds the user may try again; none: the connection ends.
        wait: Option<u32>,
    },
    /// A source of the map did not answer.
    MapUnavailable {
        /// What went wrong.
        cause: String,
    },
    /// The backend is closed by its operator (`maintenance:`); the text is for the user.
    Maintenance {
        /// The operator's words.
        text: String,
    },
    /// The user's logins are held, by an operator or for a move, and it took too long or the session was ended.
    Held,
    /// No host could be reached (DNS, refused, dropped before credentials were sent).
    Unreachable {
        /// What went wrong.
        cause: String,
    },
    /// The host did not answer in time.
    TimedOut {
        /// The [`state`](super::Client::state) it stopped in, or `connect`, `tls`.
        state: &'static str,
    },
    /// The host's TLS failed: certificate, name, pin, no STARTTLS where it is required.
    HostTls {
        /// What went wrong.
        cause: String,
    },
    /// The host cannot be used as it is set up: no endpoint for the protocol, no usable login.
    HostSetup {
        /// What went wrong.
        cause: String,
    },
    /// The host broke the protocol.
    HostProtocol {
        /// What should have come.
        expected: &'static str,
        /// What came, sanitised and cut to 200 characters.
        got: String,
    },
    /// The host takes no credentials of this kind: a token, where it has passwords only. Told and counted as
    /// `Credentials`, or strangers could tell by any token who is in the map.
    NotTaken {
        /// What it does take, or does not.
        cause: String,
    },
    /// The connection goes in a circle.
    Loop,
    /// The host said no, with a code we know.
    Refused {
        /// The code.
        code: Code,
        /// The text of an `[ALERT]`, sanitised and cut to 200 characters: users must see it.
        alert: Option<String>,
    },
    /// The host said no without a code, and not for the credentials: it announces AUTH-RESP-CODE, so that
    /// would have had one (RFC 3206 §6). It did not call itself unavailable either: no other host is asked.
    Unexplained,
}

/// A limit that may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `limits.connections`.
    Connections,
    /// `limits.per_ip`.
    PerIp,
    /// `limits.per_user`.
    PerUser,
    /// `limits.per_user_ip`.
    PerUserIp,
    /// `limits.failed_logins`.
    FailedLogins,
    /// `max_sessions` of a backend: its hosts are full.
    MaxSessions,
    /// Turns of `authenticate`: none came in time.
    Authenticate,
}

impl Limit {
    /// The name of its key in proxy.yaml, for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Limit::Connections => "connections",
            Limit::PerIp => "per_ip",
            Limit::PerUser => "per_user",
            Limit::PerUserIp => "per_user_ip",
            Limit::FailedLogins => "failed_logins",
            Limit::MaxSessions => "max_sessions",
            Limit::Authenticate => "authenticate",
        }
    }
}

/// A host's reason for a refusal that is passed on (RFC 5530 §3 unless noted).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// `[AUTHENTICATIONFAILED]`, also what a refusal without a code means, where nothing else says why.
    AuthenticationFailed,
    /// `[AUTHORIZATIONFAILED]`.
    AuthorizationFailed,
    /// `[UNAVAILABLE]`; another host may help.
    Unavailable,
    /// `[LIMIT]`.
    Limit,
    /// `[EXPIRED]`.
    Expired,
    /// `[CONTACTADMIN]`.
    ContactAdmin,
    /// `[PRIVACYREQUIRED]`.
    PrivacyRequired,
    /// `[INUSE]`, POP3 `[IN-USE]` (RFC 2449 §8.1.2).
    InUse,
    /// `[SERVERBUG]`, POP3 `[SYS/PERM]` (RFC 3206 §4).
    ServerBug,
}

impl Code {
    /// Each of them once, in the order they are declared in.
    pub const ALL: [Code; 9] = {
        let mut all = [Code::AuthenticationFailed; 9];
        let mut places: &mut [Code] = &mut all;
        let mut next = Some(Code::AuthenticationFailed);
        // Too few places or too many do not compile.
        while let Some(code) = next {
            let (place, others) = places.split_first_mut().expect("a place for each");
            *place = code;
            places = others;
            next = code.entry().1;
        }
        assert!(places.is_empty());
        all
    };

    /// The one that is written so, in capitals or not.
    pub fn named(name: &[u8]) -> Option<Code> {
        let is = |code: &Code| code.as_str().as_bytes().eq_ignore_ascii_case(name);
        Code::ALL.into_iter().find(is)
    }

    /// The code as RFC 5530 writes it.
    pub const fn as_str(self) -> &'static str {
        self.entry().0
    }

    /// How it is written, and the one behind it: who adds a code is asked for both, and [`Code::ALL`]
    /// cannot be without it.
    const fn entry(self) -> (&'static str, Option<Code>) {
        match self {
            Code::AuthenticationFailed => ("AUTHENTICATIONFAILED", Some(Code::AuthorizationFailed)),
            Code::AuthorizationFailed => ("AUTHORIZATIONFAILED", Some(Code::Unavailable)),
            Code::Unavailable => ("UNAVAILABLE", Some(Code::Limit)),
            Code::Limit => ("LIMIT", Some(Code::Expired)),
            Code::Expired => ("EXPIRED", Some(Code::ContactAdmin)),
            Code::ContactAdmin => ("CONTACTADMIN", Some(Code::PrivacyRequired)),
            Code::PrivacyRequired => ("PRIVACYREQUIRED", Some(Code::InUse)),
            Code::InUse => ("INUSE", Some(Code::ServerBug)),
            Code::ServerBug => ("SERVERBUG", None),
        }
    }
}

impl Failure {
    /// Whose fault it is.
    pub fn side(&self) -> Side {
        match self {
            Failure::Credentials
            | Failure::Aborted
            | Failure::Left
            | Failure::PrivacyRequired
            | Failure::UnsupportedMechanism { .. }
            | Failure::NotAllowed { .. }
            | Failure::NotServed
            | Failure::Declined { .. } => Side::Client,
            Failure::TooMany { .. }
            | Failure::NoRoute
            | Failure::MapUnavailable { .. }
            | Failure::Maintenance { .. }
            | Failure::Held => Side::Gateway,
            Failure::Unreachable { .. }
            | Failure::TimedOut { .. }
            | Failure::HostTls { .. }
            | Failure::HostSetup { .. }
            | Failure::HostProtocol { .. }
            | Failure::NotTaken { .. }
            | Failure::Loop
            | Failure::Refused { .. }
            | Failure::Unexplained => Side::Host,
        }
    }

    /// The RFC 5530 word for it: what an IMAP client reads in brackets, and what logs and metrics
    /// call the result for every protocol.
    pub fn code(&self) -> &'static str {
        match self {
            Failure::Credentials
            | Failure::Aborted
            | Failure::NoRoute
            | Failure::NotTaken { .. } => "AUTHENTICATIONFAILED",
            Failure::PrivacyRequired => "PRIVACYREQUIRED",
            Failure::UnsupportedMechanism { .. } => "CANNOT",
            Failure::NotAllowed { .. } | Failure::NotServed => "AUTHORIZATIONFAILED",
            Failure::TooMany { .. } => "LIMIT",
            Failure::MapUnavailable { .. }
            | Failure::Maintenance { .. }
            | Failure::Held
            | Failure::Left
            | Failure::Unreachable { .. }
            | Failure::TimedOut { .. }
            | Failure::Unexplained => "UNAVAILABLE",
            Failure::HostTls { .. } | Failure::HostSetup { .. } => "CONTACTADMIN",
            Failure::HostProtocol { .. } | Failure::Loop => "SERVERBUG",
            Failure::Refused { code, .. } | Failure::Declined { code, .. } => code.as_str(),
        }
    }

    /// Whether the client's name or password was found wrong, by us, by a lookup service or by the host: such failures
    /// are delayed, counted, and never tried on another host.
    pub fn is_credentials(&self) -> bool {
        matches!(
            self,
            Failure::Credentials
                | Failure::Aborted
                | Failure::NoRoute
                | Failure::NotTaken { .. }
                | Failure::Declined {
                    code: Code::AuthenticationFailed,
                    ..
                }
                | Failure::Refused {
                    code: Code::AuthenticationFailed | Code::AuthorizationFailed | Code::Expired,
                    ..
                }
        )
    }
}

/// For the operator's log.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Credentials => f.write_str("wrong name or password"),
            Failure::Aborted => f.write_str("the client gave the exchange up"),
            Failure::Left => f.write_str("the client left first"),
            Failure::PrivacyRequired => f.write_str("login without TLS refused"),
            Failure::UnsupportedMechanism { name } => {
                write!(f, "the mechanism is not offered: {name}")
            }
            Failure::NotAllowed { .. } => f.write_str("rejected by the users map"),
            Failure::NotServed => f.write_str("the backend does not serve this protocol"),
            Failure::TooMany { limit } => write!(f, "limit reached: {}", limit.as_str()),
            Failure::NoRoute => f.write_str("no entry of the users map matches"),
            Failure::Declined { text, .. } => write!(f, "declined by the lookup service: {text:?}"),
            Failure::MapUnavailable { cause } => write!(f, "users map not available: {cause}"),
            Failure::Maintenance { .. } => f.write_str("backend in maintenance"),
            Failure::Held => {
                f.write_str("the user's logins are held, by an operator or for a move")
            }
            Failure::Unreachable { cause } => write!(f, "host not reached: {cause}"),
            Failure::TimedOut { state } => write!(f, "host timed out in state={state}"),
            Failure::HostTls { cause } => write!(f, "tls to the host failed: {cause}"),
            Failure::HostSetup { cause } => write!(f, "host cannot be used: {cause}"),
            Failure::HostProtocol { expected, got } => {
                write!(
                    f,
                    "host broke the protocol: expected {expected}, got {got:?}"
                )
            }
            Failure::NotTaken { cause } => write!(f, "such credentials are not taken: {cause}"),
            Failure::Loop => f.write_str("the host is this gateway, or one that leads back here"),
            Failure::Refused { code, .. } => write!(f, "refused by the host: {}", code.as_str()),
            Failure::Unexplained => f.write_str(
                "refused by the host without a code, though it has one for wrong credentials",
            ),
        }
    }
}
