//! Conversations with hosts, as data.

mod attacks;
mod logins;
mod refused;
mod relayed;

pub(super) use attacks::ATTACKS;

/// Lines of the host (`S:`) and ours (`C:`) by turns, `TLS` for the handshake, `EOF` for the host's
/// end, `X:` for a challenge that reaches the client, `A:` for its answer (`A*` for none), and at last
/// the outcome (`=`). `<n>` stands for the n-th tag.
pub(super) struct Talk {
    pub(super) name: &'static str,
    /// User and password; options: `starttls`, `origin`, `behind`; the name of a SASL mechanism, then the
    /// password is a message of it.
    pub(super) with: (&'static str, &'static str, &'static [&'static str]),
    pub(super) lines: &'static str,
}

pub(super) const ALICE: (&str, &str, &[&str]) = ("alice", "hunter2", &[]);

/// Legitimate hosts, and the answers of hosts that refuse.
pub(super) fn talks() -> impl Iterator<Item = &'static Talk> {
    [logins::TALKS, relayed::TALKS, refused::TALKS]
        .into_iter()
        .flatten()
}

/// That of them whose name begins so.
pub(super) fn talk(begins: &str) -> &'static Talk {
    talks().find(|it| it.name.starts_with(begins)).unwrap()
}
