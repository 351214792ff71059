//! Addresses of hosts whose names were found in the DNS: asked of the same name servers.
//!
//! An answer is kept as long as it says, and longer while there is no new one: a name server that is
//! away takes no host away. What the name servers do not know, the system's own files may.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::discover::Lookup;

/// Most names that are kept: as many hosts as a backend may have.
const MOST: usize = 256;

/// Answers are kept at least so long, whatever they say of themselves.
const LEAST: Duration = Duration::from_secs(1);

/// And at most so long: a pod that was moved is found soon.
const LONGEST: Duration = Duration::from_secs(30);

/// How long a name server may take where an older answer is at hand.
const IMPATIENT: Duration = Duration::from_secs(1);

/// Asks name servers for addresses.
pub(crate) struct Names {
    lookup: Arc<dyn Lookup>,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Clone)]
struct Kept {
    until: Instant,
    addresses: Vec<IpAddr>,
}

impl Names {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        Names {
            lookup,
            kept: Mutex::default(),
        }
    }

    /// The addresses of a name; none: these name servers know none.
    pub(super) async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let kept = {
            let (mut all, now) = (self.lock(), Instant::now());
            let kept = all.get_mut(name);
            match kept {
                Some(kept) if now < kept.until => return kept.addresses.clone(),
                Some(kept) => {
                    // Those who come meanwhile have what there is: one asks, and nobody else waits for a silence.
                    kept.until = now + IMPATIENT;
                    Some(kept.clone())
                }
                None => None,
            }
        };
        // Whole, as the answer to the records had it: no search list applies.
        let whole = format!("{}.", name.trim_end_matches('.'));
        let asked = self.lookup.addresses(whole);
        let answer = match &kept {
            None => asked.await,
            Some(_) => timeout(IMPATIENT, asked)
                .await
                .unwrap_or_else(|_| Err("no answer in time".into())),
        };
        match answer {
            Ok(answer) if !answer.records.is_empty() => {
                let mut all = self.lock();
                if all.len() >= MOST {
                    all.clear();
                }
                let kept = Kept {
                    until: Instant::now() + answer.ttl.clamp(LEAST, LONGEST),
                    addresses: answer.records.clone(),
                };
                all.insert(name.to_owned(), kept);
                answer.records
            }
            other => {
                if let Err(why) = other {
                    tracing::debug!(event = "name_lookup_failed", name, why);
                }
                kept.map_or_else(Vec::new, |kept| kept.addresses)
            }
        }
    }

    /// A panic elsewhere leaves this whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::discover::{Answer, Looking, Srv};
    use super::*;

    /// Answers the first question, with an address of so many seconds; fails from then on.
    struct Once(AtomicU32, Duration);

    impl Lookup for Once {
        fn srv(&self, name: String) -> Looking<'_, Srv> {
            Box::pin(std::future::ready(Err(name)))
        }

        fn addresses(&self, name: String) -> Looking<'_, IpAddr> {
            assert!(name.ends_with("example."), "{name}");
            let answer = match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(Answer {
                    records: vec![IpAddr::from([192, 0, 2, 1])],
                    ttl: self.1,
                }),
                _ => Err("away".into()),
            };
            Box::pin(std::future::ready(answer))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_as_long_as_it_says_and_while_there_is_no_other() {
        let lookup = Arc::new(Once(AtomicU32::new(0), Duration::from_secs(5)));
        let names = Names::new(lookup.clone());
        let asked = || lookup.0.load(Ordering::Relaxed);
        let want = [IpAddr::from([192, 0, 2, 1])];
        // Of a name server that is away it is asked once a second.
        for (millis, times) in [
            (0, 1),
            (4000, 1),
            (2000, 2),
            (500, 2),
            (600, 3),
            (60_000, 4),
        ] {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            assert_eq!(names.addresses("store-0.example").await, want);
            assert_eq!(asked(), times);
        }
        assert!(names.addresses("store-1.example.").await.is_empty());
    }
}
