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
    aloft: Mutex<HashMap<Digest, Arc<OnceCell<T>>>>,
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
        let seat = Seat {
            cell: self.lock().entry(key).or_default().clone(),
            flights: self,
            key,
        };
        seat.cell.get_or_init(|| ask).await.clone()
    }
}

impl<T> Flights<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<OnceCell<T>>>> {
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on a flight.
struct Seat<'a, T> {
    flights: &'a Flights<T>,
    key: Digest,
    cell: Arc<OnceCell<T>>,
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut aloft = self.flights.lock();
        let ours = aloft
            .get(&self.key)
            .is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        // An answer is for those who waited for it, not for who asks later; a question without one
        // stays as long as anybody waits (the table and this seat hold one each).
        if ours && (self.cell.initialized() || Arc::strong_count(&self.cell) == 2) {
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
}
