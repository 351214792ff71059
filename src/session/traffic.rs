//! Octets of a session since login, counted as they move: what an operator sees of a live session, and
//! what the metrics have not heard of yet.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Both ways of a session.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Octets from the client.
    pub from_client: AtomicU64,
    /// Octets to it.
    pub to_client: AtomicU64,
    /// As many as were reported.
    reported: (AtomicU64, AtomicU64),
}

impl Traffic {
    /// Octets from the client and to it so far.
    pub fn so_far(&self) -> (u64, u64) {
        (self.from_client.load(Relaxed), self.to_client.load(Relaxed))
    }

    /// Those that moved since this was last asked. Whoever asks at the same time hears of others.
    pub fn unreported(&self) -> (u64, u64) {
        let (from_client, to_client) = self.so_far();
        let new = |so_far: u64, reported: &AtomicU64| {
            so_far.saturating_sub(reported.fetch_max(so_far, Relaxed))
        };
        (
            new(from_client, &self.reported.0),
            new(to_client, &self.reported.1),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_is_reported_once() {
        let traffic = Traffic::default();
        assert_eq!(traffic.unreported(), (0, 0));
        traffic.from_client.fetch_add(7, Relaxed);
        assert_eq!(traffic.unreported(), (7, 0));
        traffic.to_client.fetch_add(5, Relaxed);
        traffic.from_client.fetch_add(1, Relaxed);
        assert_eq!(traffic.unreported(), (1, 5));
        assert_eq!((traffic.unreported(), traffic.so_far()), ((0, 0), (8, 5)));
    }
}
