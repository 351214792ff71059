//! Words that may stand in a label, as enums: so no client can make a series.

use metrics::Counter;

use crate::protocol::Limit;

/// How a reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `ok`
    Taken,
    /// `failed`: the old ones stay.
    Failed,
}

impl Outcome {
    pub(super) fn count(self, [ok, failed]: &[Counter; 2]) {
        match self {
            Outcome::Taken => ok.increment(1),
            Outcome::Failed => failed.increment(1),
        }
    }
}

/// A table of label values and the enum that names them.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$of])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: [$name; [$($word),*].len()] = [$($name::$variant),*];

            /// The label.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }
    };
}

labels! {
    /// Why a connection was closed before its greeting, or a login met a limit.
    Refused {
        /// Not from the networks of `allow`.
        Allow = "allow",
        /// `limits.connections`.
        Connections = "connections",
        /// `limits.per_ip`.
        PerIp = "per_ip",
        /// `limits.per_user`.
        PerUser = "per_user",
        /// `limits.per_user_ip`.
        PerUserIp = "per_user_ip",
        /// `limits.failed_logins`.
        FailedLogins = "failed_logins",
        /// No PROXY header where one is required, a bad one, or one where none may be.
        ProxyHeader = "proxy_header",
        /// A TLS handshake that failed.
        TlsHandshake = "tls_handshake",
        /// A TLS handshake that took too long.
        TlsTimeout = "tls_timeout",
        /// The gateway is about to end. Nothing counts here: who comes then finds no socket. The series
        /// stays, as it was promised.
        Draining = "draining",
        /// Something else.
        Other = "other",
    }
}

impl Refused {
    /// The reason for a limit.
    pub fn limit(limit: Limit) -> Self {
        match limit {
            Limit::Connections => Refused::Connections,
            Limit::PerIp => Refused::PerIp,
            Limit::PerUser => Refused::PerUser,
            Limit::PerUserIp => Refused::PerUserIp,
            Limit::FailedLogins => Refused::FailedLogins,
            // No label of their own was promised for these.
            Limit::MaxSessions | Limit::Authenticate => Refused::Other,
        }
    }
}

labels! {
    /// Why a connection was not accepted when it came.
    AcceptError {
        /// No file descriptor was left: it waits.
        Descriptors = "descriptors",
        /// The kernel had no memory for it: it waits.
        Memory = "memory",
        /// It was gone already.
        Aborted = "aborted",
        /// Something else: it waits.
        Other = "other",
    }
}

labels! {
    /// What happened to a message of a translated POP3 session.
    Pop3Action {
        /// It was retrieved whole.
        Retr = "retr",
        /// Its head was looked at.
        Top = "top",
        /// QUIT deleted it.
        Delete = "delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_counted_by_their_names() {
        for (limit, label) in [
            (Limit::Connections, "connections"),
            (Limit::PerIp, "per_ip"),
            (Limit::PerUser, "per_user"),
            (Limit::PerUserIp, "per_user_ip"),
            (Limit::FailedLogins, "failed_logins"),
            (Limit::MaxSessions, "other"),
            (Limit::Authenticate, "other"),
        ] {
            assert_eq!(Refused::limit(limit).as_str(), label);
        }
    }
}
