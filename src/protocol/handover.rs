//! What a login that was accepted leaves: the octets still due to either side, and the observer that
//! knows where the protocol's goodbye may stand.

use std::fmt;

use super::Farewell;

/// What is still due to either side when a login has been accepted. Only
/// [`Server::accept`](super::Server::accept) makes one, so that a failed login cannot be bridged. The
/// observer was shown both remainders already: who relays shows it what is read from then on.
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
    /// The client's own goodbye, for the log, once it has said it: whose end comes then is the client's wish, whoever
    /// closes first.
    fn client_left(&self) -> Option<&'static str> {
        None
    }
}

/// Whether the client has said its goodbye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::protocol) enum Leave {
    #[default]
    NotTaken,
    Taken,
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
