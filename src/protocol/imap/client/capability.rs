//! What a host can do: its capability list (RFC 9051 §7.2.2), what of it a client may see after
//! login, and what is remembered of a host between two logins.

use std::sync::Arc;

use super::response::word;
use crate::protocol::UnauthenticateOffer;
use crate::protocol::sasl::{Mechanism, Mechanisms};

/// What a host says it can do, in its order, in upper case, words with a space between. Shared, as
/// every login takes its own from what is remembered of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Capabilities(Arc<str>);

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities("".into())
    }
}

impl Capabilities {
    /// Reads the atoms behind the word CAPABILITY. What is not printable ASCII is no capability.
    pub(super) fn parse(list: &[u8]) -> Self {
        let mut words = String::with_capacity(list.len());
        let printable = |atom: &&[u8]| !atom.is_empty() && atom.iter().all(u8::is_ascii_graphic);
        let atoms = list.split(|b| *b == b' ').filter(printable);
        for atom in atoms.filter_map(|atom| std::str::from_utf8(atom).ok()) {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(atom);
        }
        words.make_ascii_uppercase();
        Capabilities(words.into())
    }

    /// Reads `CAPABILITY …`, of a response code or of an untagged response.
    pub(super) fn of(code: &[u8]) -> Option<Self> {
        let (first, list) = word(code);
        super::response::is(first, "CAPABILITY").then(|| Self::parse(list))
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split_ascii_whitespace()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let mut words = self.0.as_bytes().split(|octet| *octet == b' ');
        words.any(|atom| atom == name.as_bytes())
    }

    /// The list without what has shown to be untrue.
    pub(super) fn without(&self, untrue: &[Extension]) -> Self {
        if untrue.is_empty() {
            return self.clone();
        }
        let told = |atom: &&str| !untrue.iter().any(|it| it.atoms().contains(atom));
        let words: Vec<&str> = self.words().filter(told).collect();
        Capabilities(words.join(" ").into())
    }

    /// What it can be logged in to by.
    pub(super) fn mechanisms(&self) -> Mechanisms {
        self.sasl_names().filter_map(Mechanism::from_name).collect()
    }

    fn sasl_names(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.words().filter_map(|atom| atom.strip_prefix("AUTH="));
        names.map(str::as_bytes)
    }

    /// Whether a client could leave its login behind.
    pub(super) fn unauthenticate(&self) -> UnauthenticateOffer {
        match self.has("UNAUTHENTICATE") {
            true => UnauthenticateOffer::Yes,
            false => UnauthenticateOffer::No,
        }
    }

    /// What a client may see of it after login. It cannot log in twice, so nothing that is for a
    /// login; and not UNAUTHENTICATE (RFC 8437), with which a second login would slip past the
    /// routing, nor then COMPRESS (RFC 4978), which would hide that command from whoever watches.
    pub(super) fn after_login(&self) -> Vec<String> {
        let unauthenticate = self.has("UNAUTHENTICATE");
        let hidden = |atom: &str| {
            ["STARTTLS", "LOGINDISABLED", "UNAUTHENTICATE"].contains(&atom)
                || atom.starts_with("AUTH=")
                || (unauthenticate && atom.starts_with("COMPRESS="))
        };
        let shown = self.words().filter(|atom| !hidden(atom));
        shown.map(str::to_owned).collect()
    }
}

/// What saves a turn where a host announces it, and ends a login where that is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// SASL-IR: a response in the line of AUTHENTICATE.
    InitialResponse,
    /// LITERAL+, LITERAL-: literals that are not asked for.
    Literals,
}

impl Extension {
    /// The capabilities that announce it.
    fn atoms(self) -> &'static [&'static str] {
        match self {
            Extension::InitialResponse => &["SASL-IR"],
            // IMAP4rev2 promises LITERAL-.
            Extension::Literals => &["LITERAL+", "LITERAL-", "IMAP4REV2"],
        }
    }
}

/// Whether the next login may go by what is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Belief {
    /// The last one went by it and came to an answer.
    #[default]
    Sure,
    /// It came to grief, or was refused in a way that may be about how it was said: ask anew.
    Doubtful,
}

/// What one login found out about a host's endpoint, and the next one need not ask again.
///
/// It holds for a host that greets with the same line: a server that was exchanged or set up anew
/// mostly greets in other words, and if not, a login that comes to grief makes it doubtful. What a
/// host announces and then does not do is not used with it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The greeting's line.
    pub(super) greeting: Vec<u8>,
    /// Before login, as the login saw it (under TLS, where that is demanded). None: not known.
    pub(super) before: Option<Capabilities>,
    /// Of that list.
    pub(super) belief: Belief,
    /// What of it was found to be untrue, however often it is announced again.
    pub(super) untrue: Vec<Extension>,
    /// After login, if the host said so.
    pub(super) after: Option<Capabilities>,
    /// Whether several commands in one burst came to grief here.
    pub(super) pipelining: Pipelining,
}

/// Whether a host takes several commands at once before login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pipelining {
    /// Nothing speaks against it.
    #[default]
    Kept,
    /// A burst ended in silence, a closed connection or BAD: one command at a time from now on.
    Lost,
    /// So it was with an earlier login, and this one has tried nothing else.
    Avoided,
}

impl Profile {
    /// The greeting's line.
    pub fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    /// What clients may be offered to log in to the host by, if that is known.
    pub fn mechanisms(&self) -> Option<Mechanisms> {
        let can = self.before.as_ref()?;
        Some(
            can.mechanisms()
                .without(Mechanisms::bound(can.sasl_names())),
        )
    }

    /// Whether it is sent one command at a time.
    pub fn loses_pipelining(&self) -> bool {
        self.pipelining != Pipelining::Kept
    }

    /// Several commands in one burst came to grief with this host: none are sent that way.
    pub fn lose_pipelining(&mut self) {
        self.pipelining = Pipelining::Lost;
    }

    /// The suspicion is old: the next login finds out anew.
    pub fn try_pipelining(&mut self) {
        self.pipelining = Pipelining::Kept;
    }

    /// What was found out on `others`' connections meanwhile stands where this one tried nothing itself.
    pub fn heed(&mut self, others: &Profile) {
        if self.pipelining == Pipelining::Avoided && self.greeting == others.greeting {
            self.pipelining = others.pipelining;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_untrue_is_taken_out() {
        let caps = Capabilities::parse(b"IMAP4rev2 SASL-IR LITERAL+ AUTH=PLAIN");
        let without = |untrue: &[Extension]| caps.without(untrue).0;
        assert_eq!(*without(&[]), *"IMAP4REV2 SASL-IR LITERAL+ AUTH=PLAIN");
        let first = Extension::InitialResponse;
        assert_eq!(*without(&[first]), *"IMAP4REV2 LITERAL+ AUTH=PLAIN");
        assert_eq!(*without(&[Extension::Literals, first]), *"AUTH=PLAIN");
    }

    #[test]
    fn lists() {
        let caps = Capabilities::of(b"Capability imap4rev1  auth=Plain \xff").unwrap();
        assert!(caps.has("IMAP4REV1") && caps.has("AUTH=PLAIN") && !caps.has("AUTH"));
        assert_eq!(caps.words().count(), 2);
        assert_eq!(Capabilities::of(b"CAPABILITYX A"), None);
        assert_eq!(
            Capabilities::of(b"CAPABILITY"),
            Some(Capabilities::default())
        );
    }

    #[test]
    fn a_client_sees_nothing_of_the_login() {
        for (host, client) in [
            (
                "IMAP4rev1 STARTTLS AUTH=PLAIN AUTH=LOGIN LOGINDISABLED IDLE COMPRESS=DEFLATE",
                "IMAP4REV1 IDLE COMPRESS=DEFLATE",
            ),
            (
                "IMAP4rev1 COMPRESS=DEFLATE UNAUTHENTICATE IDLE",
                "IMAP4REV1 IDLE",
            ),
            ("", ""),
        ] {
            let shown = Capabilities::parse(host.as_bytes()).after_login();
            assert_eq!(shown.join(" "), client);
        }
    }
}
