//! Addresses of hosts that are written as names: what the system's resolver says, for a moment.
//!
//! It is asked on a thread, which it keeps as long as it tries. So logins that come at once ask once, and
//! a name server that is away holds one thread a name, not one a login.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::Instant;

use super::dial::MAX_ADDRESSES;

/// How long an answer is used again. The resolver does not say how long it may be; a host that has moved is
/// found as soon.
const FRESH: Duration = Duration::from_secs(2);

/// Most names that are kept.
const MOST: usize = 1024;

/// What the resolver said: addresses in its order, perhaps none, or why not. Their ports mean nothing.
type Answer = Result<Arc<[SocketAddr]>, String>;

/// A name's answer and when it came, or the question under way.
#[derive(Clone)]
struct Kept(watch::Receiver<Option<(Instant, Answer)>>);

static KEPT: LazyLock<Mutex<HashMap<String, Kept>>> = LazyLock::new(Mutex::default);

/// The addresses of a name.
///
/// # Errors
/// The resolver's.
pub(super) async fn addresses(name: &str) -> Answer {
    asked_of(name, |name| async move {
        let found = lookup_host((name.as_str(), 0)).await;
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.take(MAX_ADDRESSES).collect())
    })
    .await
}

async fn asked_of<F>(name: &str, ask: impl FnOnce(String) -> F) -> Answer
where
    F: Future<Output = Answer> + Send + 'static,
{
    let mut kept = {
        let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(name).filter(|kept| kept.is_of_use()) {
            Some(kept) => kept.clone(),
            None => {
                if all.len() >= MOST {
                    all.retain(|_, kept| kept.is_of_use());
                }
                let (tell, answer) = watch::channel(None);
                // Whoever asked may give up; those who came meanwhile have not.
                let asking = ask(name.to_owned());
                tokio::spawn(async move {
                    let answer = asking.await;
                    // From now on: one that took its time is as new as any.
                    tell.send_replace(Some((Instant::now(), answer)))
                });
                let kept = Kept(answer);
                if all.len() < MOST {
                    all.insert(name.to_owned(), kept.clone());
                }
                kept
            }
        }
    };
    let told = kept.0.wait_for(Option::is_some).await;
    let told = told.ok().and_then(|told| told.clone());
    let unheard = || Err("the resolver was not heard to its end".into());
    told.map_or_else(unheard, |(_, answer)| answer)
}

impl Kept {
    fn is_of_use(&self) -> bool {
        match &*self.0.borrow() {
            // Whoever asks may be gone with its runtime.
            None => self.0.has_changed().is_ok(),
            Some((came, Ok(_))) => came.elapsed() < FRESH,
            Some((_, Err(_))) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6};
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::{sleep, timeout};

    use super::*;

    /// An address of this link: it is nothing without its interface.
    fn here() -> Arc<[SocketAddr]> {
        let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        [SocketAddr::V6(SocketAddrV6::new(ip, 0, 0, 2))].into()
    }

    #[tokio::test(start_paused = true)]
    async fn logins_at_once_ask_once_and_an_answer_is_used_for_a_moment() {
        let questions = Arc::new(AtomicU32::new(0));
        let ask = || {
            let questions = questions.clone();
            asked_of("mail.example", move |_| async move {
                let nth = questions.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(10)).await;
                match nth {
                    0 => Err("away".into()),
                    _ => Ok(here()),
                }
            })
        };
        let asked = || questions.load(Ordering::Relaxed);
        // Who gives up takes the question from nobody.
        assert!(timeout(Duration::from_secs(5), ask()).await.is_err());
        let (a, b) = tokio::join!(ask(), ask());
        assert_eq!((a, b), (Err("away".into()), Err("away".into())));
        assert_eq!(asked(), 1);
        // A failure is not kept.
        assert_eq!(ask().await, Ok(here()));
        assert_eq!(asked(), 2);
        // Ten seconds on its way, and as new as any.
        for _ in 0..100 {
            assert_eq!(ask().await, Ok(here()));
        }
        sleep(FRESH - Duration::from_millis(10)).await;
        assert!(ask().await.is_ok());
        assert_eq!(asked(), 2);
        sleep(Duration::from_millis(20)).await;
        assert!(ask().await.is_ok());
        assert_eq!(asked(), 3);
    }

    /// As with a resolver whose first name server is away: nobody waits so long, and the next one has it.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_waited_for_serves_the_next() {
        let questions = AtomicU32::new(0);
        let patience = Duration::from_secs(5);
        let ask = async || {
            let asked = asked_of("slow.example", |_| {
                questions.fetch_add(1, Ordering::Relaxed);
                async move {
                    sleep(patience + Duration::from_millis(10)).await;
                    Ok(here())
                }
            });
            timeout(patience, asked).await
        };
        assert!(ask().await.is_err());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(ask().await, Ok(Ok(here())));
        assert_eq!(questions.load(Ordering::Relaxed), 1);
    }
}
