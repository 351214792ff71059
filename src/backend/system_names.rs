//! Addresses of hosts that are written as names: what the system's resolver says, for a moment.
//!
//! It is asked on a thread, which it keeps as long as it tries. So logins that come at once ask once, and
//! a name server that is away holds one thread a name, not one a login.

use std::collections::HashMap;
use std::net::IpAddr;
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

/// What the resolver said: addresses in its order, perhaps none, or why not.
type Answer = Result<Arc<[IpAddr]>, String>;

/// A name's answer, or the question under way.
struct Kept {
    answer: watch::Receiver<Option<Answer>>,
    asked: Instant,
}

static KEPT: LazyLock<Mutex<HashMap<String, Kept>>> = LazyLock::new(Mutex::default);

/// The addresses of a name.
///
/// # Errors
/// The resolver's.
pub(super) async fn addresses(name: &str) -> Answer {
    asked_of(name, |name| async move {
        let found = lookup_host((name.as_str(), 0)).await;
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.map(|to| to.ip()).take(MAX_ADDRESSES).collect())
    })
    .await
}

async fn asked_of<F>(name: &str, ask: impl FnOnce(String) -> F) -> Answer
where
    F: Future<Output = Answer> + Send + 'static,
{
    let mut answer = {
        let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(name).filter(|kept| kept.is_of_use()) {
            Some(kept) => kept.answer.clone(),
            None => {
                if all.len() >= MOST {
                    all.retain(|_, kept| kept.is_of_use());
                }
                let (tell, answer) = watch::channel(None);
                // Whoever asked may give up; those who came meanwhile have not.
                let asking = ask(name.to_owned());
                tokio::spawn(async move { tell.send_replace(Some(asking.await)) });
                if all.len() < MOST {
                    let kept = Kept {
                        answer: answer.clone(),
                        asked: Instant::now(),
                    };
                    all.insert(name.to_owned(), kept);
                }
                answer
            }
        }
    };
    let told = answer.wait_for(Option::is_some).await;
    let told = told.ok().and_then(|told| told.clone());
    told.unwrap_or_else(|| Err("the resolver was not heard to its end".into()))
}

impl Kept {
    fn is_of_use(&self) -> bool {
        match &*self.answer.borrow() {
            // Whoever asks may be gone with its runtime.
            None => self.answer.has_changed().is_ok(),
            Some(Ok(_)) => self.asked.elapsed() < FRESH,
            Some(Err(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::{sleep, timeout};

    use super::*;

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
                    _ => Ok([IpAddr::from([192, 0, 2, 1])].into()),
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
        assert!(ask().await.is_ok());
        assert_eq!(asked(), 2);
        // Ten seconds old by now.
        assert!(ask().await.is_ok());
        assert_eq!(asked(), 3);
    }

    #[tokio::test]
    async fn an_answer_serves_those_who_come_right_behind() {
        let questions = AtomicU32::new(0);
        for _ in 0..100 {
            let asked = asked_of("imap.example", |_| {
                questions.fetch_add(1, Ordering::Relaxed);
                async { Ok([IpAddr::from([192, 0, 2, 2])].into()) }
            });
            assert_eq!(*asked.await.unwrap(), [IpAddr::from([192, 0, 2, 2])]);
        }
        assert!(questions.load(Ordering::Relaxed) < 50);
    }
}
