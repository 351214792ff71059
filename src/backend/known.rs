//! What was learned about the server behind a host's endpoints.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::imap::client::Profile;
use crate::protocol::sasl::Mechanisms;
use crate::protocol::{Protocol, pop3};

/// How long a host that seems to lose commands is given one at a time. Then one login tries it otherwise:
/// what looked so may have been a slow disk, and the host another program by now.
const SUSPECTED: Duration = Duration::from_secs(24 * 3600);

/// What was learned about the server behind the endpoints: good for as long as they are the same.
#[derive(Default)]
pub(super) struct Known {
    profile: Mutex<Option<Profile>>,
    /// Since when it is given one command at a time, if it is.
    suspected: Mutex<Option<Instant>>,
    pop3_profile: Mutex<Option<pop3::client::Profile>>,
}

impl Known {
    /// What an endpoint can be logged in to by.
    pub(super) fn mechanisms(&self, endpoint: Protocol) -> Option<Mechanisms> {
        match endpoint {
            Protocol::Pop3 => lock(&self.pop3_profile).as_ref()?.mechanisms(),
            Protocol::Imap => lock(&self.profile).as_ref()?.mechanisms(),
        }
    }

    /// What an endpoint greeted with, as far as it was visited.
    pub(super) fn greeting(&self, endpoint: Protocol) -> Vec<u8> {
        let known = match endpoint {
            Protocol::Imap => self.profile().map(|it| it.greeting().to_vec()),
            Protocol::Pop3 => self.pop3_profile().map(|it| it.greeting().to_vec()),
        };
        known.unwrap_or_default()
    }

    pub(super) fn pop3_profile(&self) -> Option<pop3::client::Profile> {
        lock(&self.pop3_profile).clone()
    }

    /// As [`learn`](Self::learn), of its POP3 endpoint.
    pub(super) fn learn_pop3(&self, learned: Option<pop3::client::Profile>) {
        let Some(mut learned) = learned else { return };
        let mut known = lock(&self.pop3_profile);
        if let Some(known) = &*known {
            learned.heed(known);
        }
        *known = Some(learned);
    }

    pub(super) fn profile(&self) -> Option<Profile> {
        let mut profile = lock(&self.profile).clone();
        if let Some(profile) = profile.as_mut().filter(|it| it.loses_pipelining()) {
            let (mut suspected, now) = (lock(&self.suspected), Instant::now());
            let since = suspected.get_or_insert(now);
            if now.duration_since(*since) >= SUSPECTED {
                *since = now;
                profile.try_pipelining();
            }
        }
        profile
    }

    /// Remembers what a login learned; of a login that learned nothing, the old stays.
    pub(super) fn learn(&self, learned: Option<Profile>) {
        let Some(mut learned) = learned else { return };
        let mut known = lock(&self.profile);
        if let Some(known) = &*known {
            learned.heed(known);
        }
        if !learned.loses_pipelining() {
            *lock(&self.suspected) = None;
        }
        *known = Some(learned);
    }

    /// Whether it is sent one command at a time.
    pub(super) fn loses_bursts(&self) -> bool {
        lock(&self.profile)
            .as_ref()
            .is_some_and(Profile::loses_pipelining)
    }

    /// Commands were sent in a burst, and the later ones never answered.
    pub(super) fn lost_burst(&self) {
        if let Some(profile) = &mut *lock(&self.profile) {
            profile.lose_pipelining();
        }
    }
}

/// A panic elsewhere leaves these small values whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Client as _, StartTls, imap};

    /// What a look at a host learns that greets as always.
    fn looked(remembered: Option<Profile>) -> Option<Profile> {
        let mut client = imap::client::Client::look(StartTls::No, 1, remembered);
        client.receive(b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n");
        let _ = client.step();
        client.learned()
    }

    #[tokio::test(start_paused = true)]
    async fn that_a_host_loses_commands_is_not_believed_for_ever() {
        let host = Known::default();
        host.learn(looked(host.profile()));
        assert!(!host.loses_bursts());
        host.lost_burst();
        for _ in 0..3 {
            tokio::time::sleep(SUSPECTED / 4).await;
            host.learn(looked(host.profile()));
            assert!(host.loses_bursts(), "others find out nothing new");
        }
        // One login tries; those beside it do not, and what it found out stands.
        tokio::time::sleep(SUSPECTED / 2).await;
        let beside = host.profile();
        assert!(beside.as_ref().is_some_and(|it| !it.loses_pipelining()));
        let also = host.profile();
        assert!(also.as_ref().is_some_and(Profile::loses_pipelining));
        host.learn(looked(beside));
        assert!(!host.loses_bursts());
        host.learn(looked(also));
        assert!(!host.loses_bursts());
        // If it was right, for as long again.
        host.lost_burst();
        host.learn(looked(host.profile()));
        assert!(host.loses_bursts());
    }
}
