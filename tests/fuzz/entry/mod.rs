//! What is fuzzed: for every source of untrusted octets one function of those octets, which panics
//! where a promise is broken. libFuzzer calls them (`targets/`), and so does `cargo test --test fuzz`.
//!
//! The first octets of an input choose settings, the rest is what the stranger says. `fetch` and
//! `session` are given a script instead, made of the octets by `arbitrary`. Where a thing can be played
//! in many ways the octets choose one: what a fuzzer tries should be cheap, it comes to the others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a finding is told"
)]
#![allow(dead_code, reason = "a fuzz target plays one of them")]

use arbitrary::{Arbitrary, Unstructured};

pub(crate) mod encoder;
pub(crate) mod fetch;
pub(crate) mod front;
pub(crate) mod host;
pub(crate) mod lookup;
pub(crate) mod proxy;
pub(crate) mod records;
pub(crate) mod relay;
pub(crate) mod sasl;
pub(crate) mod session;
pub(crate) mod yaml;

/// A target: its name, what plays it and how that is named here, the longest input worth playing, and
/// how much slower than the others it is.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) play: fn(&[u8]),
    pub(crate) plays: &'static str,
    pub(crate) most: usize,
    pub(crate) slow: usize,
}

macro_rules! target {
    ($name:literal, $play:path, $most:literal) => {
        Target {
            name: $name,
            play: $play,
            plays: stringify!($play),
            most: $most,
            slow: 1,
        }
    };
}

/// Every target; `targets/` has a file for each, `seeds/` a directory.
pub(crate) const TARGETS: &[Target] = &[
    target!("proxy", proxy::header, 512),
    target!("records", records::opened, 512),
    target!("sasl", sasl::exchange, 1024),
    target!("imap", front::imap, 512),
    target!("pop3", front::pop3, 512),
    target!("imap_host", host::imap, 512),
    target!("pop3_host", host::pop3, 512),
    target!("imap_relay", relay::imap, 512),
    target!("pop3_relay", relay::pop3, 512),
    target!("fetch", fetch::maildrop, 384),
    target!("fetch_raw", fetch::raw, 384),
    target!("encoder", encoder::login, 512),
    target!("session", session::whole, 384),
    target!("lookup", lookup::answer, 512),
    target!("map", yaml::map, 256),
    Target {
        slow: 50,
        ..target!("settings", yaml::settings, 512)
    },
];

/// Octets to be read from the front.
pub(crate) struct Choice<'a>(pub(crate) &'a [u8]);

impl Choice<'_> {
    /// One octet; 0 when there are none.
    pub(crate) fn octet(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// Whether a bit of an octet is set.
    pub(crate) fn bit(octet: u8, bit: u8) -> bool {
        octet >> bit & 1 == 1
    }
}

/// How a conversation is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// In parts of so many octets, and once more as it comes: the same must come of it.
    Compared(usize),
    /// In parts of so many octets.
    Parts(usize),
}

impl Cut {
    /// An octet's highest bit says whether it is compared, the others how long a part is.
    pub(crate) fn of(octet: u8) -> Self {
        let most = usize::from(octet & 0x7f).max(1);
        match Choice::bit(octet, 7) {
            false => Cut::Compared(most),
            true => Cut::Parts(most),
        }
    }

    /// At most so many octets at a time.
    pub(crate) fn most(self) -> usize {
        match self {
            Cut::Compared(most) | Cut::Parts(most) => most,
        }
    }
}

/// Octets of a script: mostly few, so that much of the script is left.
#[derive(Debug)]
pub(crate) struct Octets(pub(crate) Vec<u8>);

impl<'a> Arbitrary<'a> for Octets {
    fn arbitrary(script: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let wanted = script.int_in_range(0..=24)?;
        let there = wanted.min(script.len());
        Ok(Octets(script.bytes(there)?.to_vec()))
    }
}

/// Parts of a script: so many as one octet says, not each as likely the last one as not.
pub(crate) fn several<'a, T: Arbitrary<'a>>(
    script: &mut Unstructured<'a>,
    most: usize,
) -> arbitrary::Result<Vec<T>> {
    let count = script.int_in_range(0..=most)?;
    (0..count).map(|_| script.arbitrary()).collect()
}

/// Whether `inner` stands in `outer`.
pub(crate) fn holds(outer: &[u8], inner: &[u8]) -> bool {
    !inner.is_empty() && memchr::memmem::find(outer, inner).is_some()
}
