//! Watches a relayed IMAP session, just enough to know where a BYE may stand.

use crate::protocol::{Farewell, Observer, Verdict};

/// The observer of a relayed IMAP session.
pub struct Framing {}

impl Framing {
    /// From the first octet after the tagged OK to the login on.
    pub fn new(_session: &str, _capabilities: Option<&[String]>) -> Self {
        Framing {}
    }
}

impl Observer for Framing {
    fn client_to_host(&mut self, _bytes: &[u8]) -> Verdict {
        Verdict::Pass
    }

    fn host_to_client(&mut self, _bytes: &[u8]) {}

    fn goodbye(&self, _reason: Farewell) -> Option<Vec<u8>> {
        Some(Vec::new())
    }
}
