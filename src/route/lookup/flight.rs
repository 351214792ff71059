//! One question in flight: who asks the same thing at the same time waits for the same answer.
//!
//! Keys are digests of whole questions, so only those that are alike to the last octet are the same.
//! Whoever came first asks; should that one go away, the next one does. Nothing is left behind when
//! the last one has its answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::known::Digest;

/// Questions that are being asked.
pub(super) struct Flights<T> {
    aloft: Mutex<HashMap<Digest, Flight<T>>>,
}

/// One of them. Who waits is counted under the table's lock: of those that leave on several threads at once
/// exactly one is the last.
struct Flight<T> {
    answer: Arc<OnceCell<T>>,
    waiting: usize,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Flight {
            answer: Arc::default(),
            waiting: 0,
        }
    }
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Flights {
            aloft: Mutex::default(),
        }
    }
}

impl<T: Clone> Flights<T> {
    /// The answer to a question: that of whoever asks it already, or else what `ask` brings.
    pub(super) async fn join(&self, key: Digest, ask: impl Future<Output = T>) -> T {
        let seat = self.enter(key);
        seat.answer.get_or_init(|| ask).await.clone()
    }
}

impl<T> Flights<T> {
    fn enter(&self, key: Digest) -> Seat<'_, T> {
        let mut aloft = self.lock();
        let flight = aloft.entry(key).or_default();
        flight.waiting = flight.waiting.saturating_add(1);
        Seat {
            flights: self,
            key,
            answer: flight.answer.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Flight<T>>> {
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on a flight.
struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: Digest,
    answer: Arc<OnceCell<T>>,
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut aloft = self.flights.lock();
        let Some(flight) = aloft.get_mut(&self.key) else {
            return;
        };
        // Another one may be on its way meanwhile.
        if !Arc::ptr_eq(&flight.answer, &self.answer) {
            return;
        }
        flight.waiting = flight.waiting.saturating_sub(1);
        // An answer is for those who waited for it, not for who asks later; a question without one
        // stays as long as anybody waits.
        if flight.answer.initialized() || flight.waiting == 0 {
            aloft.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    async fn slow(asked: &AtomicU32) -> u32 {
        sleep(Duration::from_secs(1)).await;
        asked.fetch_add(1, Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_question_is_asked_once_at_a_time() {
        let (flights, asked) = (Flights::default(), AtomicU32::new(0));
        let join = |key: u8| flights.join([key; 32], slow(&asked));
        assert_eq!(tokio::join!(join(1), join(1), join(1)), (0, 0, 0));
        assert_eq!(join(1).await, 1);
        tokio::join!(join(1), join(2));
        assert_eq!(asked.load(Relaxed), 4);
        assert!(flights.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_leaves_the_question_to_the_next() {
        let (flights, asked) = (Flights::default(), AtomicU32::new(0));
        let join = || flights.join([1; 32], slow(&asked));
        let left = timeout(Duration::from_millis(500), join());
        let (left, stayed) = tokio::join!(left, join());
        assert!(left.is_err());
        assert_eq!(stayed, 0);
        let _ = timeout(Duration::from_millis(500), join()).await;
        assert!(flights.lock().is_empty());
    }

    /// Of those that give a question up at the same moment, on threads of their own, one is the last, though
    /// others are not done with it yet.
    #[tokio::test(start_paused = true)]
    async fn who_goes_away_among_others_leaves_nothing() {
        let (flights, asked) = (Flights::default(), AtomicU32::new(0));
        let join = flights.join([1; 32], slow(&asked));
        let other = async { flights.lock().get(&[1; 32]).map(|it| it.answer.clone()) };
        let (left, other) = tokio::join!(timeout(Duration::from_millis(500), join), other);
        assert!(left.is_err() && other.is_some());
        assert!(flights.lock().is_empty());
    }
}
