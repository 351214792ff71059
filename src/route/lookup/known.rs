//! The answers a lookup service gave: those that may be used again without asking, and each user's
//! last one, for when the service is away.
//!
//! An answer that brings a password is bound to the one it was given for: of that a keyed digest is
//! kept, under a key that no other process has. Memory is bounded by two halves: what is asked for
//! moves to the young one, and when that is full the old one goes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::{hmac, rand};
use tokio::time::Instant;

use super::answer::Answer;
use super::request::{self, Certificate, Visit};
use crate::protocol::{Credentials, Protocol, UserName};

/// Most octets of either half, counted roughly: some hundred thousand users.
const MAX_WEIGHT: usize = 16 * 1024 * 1024;

/// What an answer takes beside its texts.
const BASE_WEIGHT: usize = 256;

/// The digest of a login's proof, or of a whole question.
pub(super) type Digest = [u8; 32];

/// What proved a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) digest: Digest,
    pub(super) judge: Judge,
}

/// Who looks at a proof behind an answer that brings no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judge {
    /// The host, or whoever checks passwords here.
    Host,
    /// Nobody but the service: of a certificate a host is told nothing.
    Service,
}

/// Makes digests that mean nothing outside this process.
pub(super) struct Digester(hmac::Key);

impl Digester {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        // Fails only where the system has no randomness at all; then digests can be guessed from a
        // dump of this process's memory, which holds the passwords of the moment anyway.
        let _ = rand::fill(&mut key);
        Digester(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// Of parts, each with its length: no two lists have the same.
    pub(super) fn of<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// Of what proves a name: a certificate, too, by which a service may decide, alone or beside a password.
    pub(super) fn proof(&self, visit: &Visit<'_>) -> Proof {
        let (method, proof) = request::shown(visit.credentials);
        let certificate: &[u8] = match visit.tls.map(|tls| tls.certificate) {
            Some(Certificate::Verified(shown)) => &shown.digest,
            Some(Certificate::None | Certificate::NotAsked) | None => &[],
        };
        Proof {
            digest: self.of([method.as_bytes(), proof, certificate]),
            judge: match visit.credentials {
                Credentials::Certificate => Judge::Service,
                _ => Judge::Host,
            },
        }
    }
}

/// What is known of users.
#[derive(Default)]
pub(super) struct Known {
    halves: Mutex<Halves>,
}

#[derive(Default)]
struct Halves {
    young: HashMap<Key, Arc<Entry>>,
    old: HashMap<Key, Arc<Entry>>,
    weight: usize,
}

/// The whole canonical name and the protocol.
type Key = (Protocol, Box<str>);

struct Entry {
    answer: Answer,
    /// The proof it was given for, where it holds for no other.
    bound: Option<Digest>,
    told: Instant,
}

impl Known {
    /// Keeps an answer.
    pub(super) fn keep(&self, user: &UserName, protocol: Protocol, answer: &Answer, proof: Proof) {
        let entry = Entry {
            bound: (answer.password.is_some() || proof.judge == Judge::Service)
                .then_some(proof.digest),
            answer: answer.clone(),
            told: Instant::now(),
        };
        self.lock().put(key(user, protocol), Arc::new(entry));
    }

    /// An answer that is as good as new: so long as it said itself, or for `cache`, as the settings have it now.
    pub(super) fn fresh(
        &self,
        user: &UserName,
        protocol: Protocol,
        proof: &Proof,
        cache: Duration,
    ) -> Option<Answer> {
        let entry = self.lock().get(&key(user, protocol))?;
        let cache = entry.answer.cache.unwrap_or(cache);
        let fresh = entry.told.elapsed() < cache && entry.serves(proof);
        fresh.then(|| entry.answer.clone())
    }

    /// The last answer, however old.
    pub(super) fn last(
        &self,
        user: &UserName,
        protocol: Protocol,
        proof: &Proof,
    ) -> Option<Answer> {
        let entry = self.lock().get(&key(user, protocol))?;
        entry.serves(proof).then(|| entry.answer.clone())
    }

    /// The last answer, for explaining: whoever asks is not logged in by it.
    pub(super) fn told(&self, user: &UserName, protocol: Protocol) -> Option<Answer> {
        let entry = self.lock().get(&key(user, protocol))?;
        Some(entry.answer.clone())
    }

    /// The service has turned down this very proof: what it gave for it before is void. Others' stay:
    /// whoever guesses a password must not make the service's absence felt.
    pub(super) fn declined(&self, user: &UserName, protocol: Protocol, proof: &Proof) {
        let key = key(user, protocol);
        let mut halves = self.lock();
        let bound = halves.get(&key).and_then(|entry| entry.bound);
        if bound.is_some_and(|bound| same(&bound, &proof.digest)) {
            halves.forget(&key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn get(&mut self, key: &Key) -> Option<Arc<Entry>> {
        if let Some(entry) = self.young.get(key) {
            return Some(entry.clone());
        }
        let (key, entry) = self.old.remove_entry(key)?;
        self.put(key, entry.clone());
        Some(entry)
    }

    fn put(&mut self, key: Key, entry: Arc<Entry>) {
        let weight = entry.weight(&key);
        if self.weight.saturating_add(weight) > MAX_WEIGHT {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.old.remove(&key);
        self.weight = self.weight.saturating_add(weight);
        if let Some(before) = self.young.get(&key) {
            self.weight = self.weight.saturating_sub(before.weight(&key));
        }
        self.young.insert(key, entry);
    }

    fn forget(&mut self, key: &Key) {
        self.old.remove(key);
        if let Some(gone) = self.young.remove(key) {
            self.weight = self.weight.saturating_sub(gone.weight(key));
        }
    }
}

impl Entry {
    fn serves(&self, proof: &Proof) -> bool {
        match self.bound {
            Some(bound) => same(&bound, &proof.digest),
            None => proof.judge == Judge::Host,
        }
    }

    fn weight(&self, key: &Key) -> usize {
        let user = self.answer.user.as_ref().map_or(0, |it| it.as_str().len());
        let password = self.answer.password.as_ref();
        let password = password.map_or(0, |it| it.reveal().len());
        [BASE_WEIGHT, key.1.len(), user, password].iter().sum()
    }
}

fn same(one: &Digest, other: &Digest) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one, other).is_ok()
}

fn key(user: &UserName, protocol: Protocol) -> Key {
    (protocol, user.canonical().into())
}

#[cfg(test)]
mod tests {
    use super::super::answer::To;
    use super::*;
    use crate::protocol::Secret;

    fn answer(password: Option<&str>) -> Answer {
        Answer {
            to: To::Backend("store".into()),
            user: None,
            password: password.map(|it| Secret::new(it.as_bytes()).unwrap()),
            cache: None,
        }
    }

    fn name(name: &str) -> UserName {
        UserName::new(name.as_bytes()).unwrap()
    }

    fn by_host(digest: u8) -> Proof {
        Proof {
            digest: [digest; 32],
            judge: Judge::Host,
        }
    }

    fn by_service(digest: u8) -> Proof {
        Proof {
            judge: Judge::Service,
            ..by_host(digest)
        }
    }

    const CACHE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_fresh_for_a_while_and_then_the_last_one() {
        let known = Known::default();
        let (bob, proof) = (name("Bob@X"), by_host(1));
        known.keep(&bob, Protocol::Imap, &answer(None), proof);
        for (user, protocol, proof, want) in [
            ("bob@x", Protocol::Imap, by_host(1), true),
            // What brings no password is good for any: the host looks at it.
            ("bob@x", Protocol::Imap, by_host(2), true),
            ("bob@x", Protocol::Pop3, by_host(1), false),
            ("bob", Protocol::Imap, by_host(1), false),
            // Of a certificate it is told nothing.
            ("bob@x", Protocol::Imap, by_service(1), false),
        ] {
            assert_eq!(
                known.fresh(&name(user), protocol, &proof, CACHE).is_some(),
                want
            );
            assert_eq!(known.last(&name(user), protocol, &proof).is_some(), want);
        }
        tokio::time::advance(CACHE).await;
        assert!(known.fresh(&bob, Protocol::Imap, &proof, CACHE).is_none());
        assert!(known.last(&bob, Protocol::Imap, &proof).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_with_a_password_serves_the_one_it_was_given_for() {
        let known = Known::default();
        let (bob, right, wrong) = (name("bob"), by_host(1), by_host(2));
        known.keep(&bob, Protocol::Imap, &answer(Some("master")), right);
        assert!(known.fresh(&bob, Protocol::Imap, &wrong, CACHE).is_none());
        assert!(known.last(&bob, Protocol::Imap, &wrong).is_none());
        assert!(known.fresh(&bob, Protocol::Imap, &right, CACHE).is_some());
        // A wrong password that is turned down takes nothing from who has the right one.
        known.declined(&bob, Protocol::Imap, &wrong);
        assert!(known.last(&bob, Protocol::Imap, &right).is_some());
        known.declined(&bob, Protocol::Imap, &right);
        assert!(known.last(&bob, Protocol::Imap, &right).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_who_comes_often_stays() {
        let known = Known::default();
        let often = name("often");
        known.keep(&often, Protocol::Imap, &answer(None), by_host(0));
        for n in 0..3 * MAX_WEIGHT / BASE_WEIGHT {
            known.keep(
                &name(&format!("u{n}")),
                Protocol::Imap,
                &answer(None),
                by_host(0),
            );
            if n % 1000 == 0 {
                assert!(
                    known.last(&often, Protocol::Imap, &by_host(0)).is_some(),
                    "{n}"
                );
            }
        }
        let halves = known.lock();
        assert!(halves.weight <= MAX_WEIGHT);
        assert!(halves.young.len() + halves.old.len() <= 2 * MAX_WEIGHT / BASE_WEIGHT);
        drop(halves);
        assert!(
            known
                .last(&name("u0"), Protocol::Imap, &by_host(0))
                .is_none()
        );
    }

    #[test]
    fn digests_tell_lists_apart() {
        let digester = Digester::new();
        assert_ne!(
            digester.of([&b"ab"[..], b"c"]),
            digester.of([&b"a"[..], b"bc"])
        );
        assert_eq!(digester.of([&b"a"[..]]), digester.of([&b"a"[..]]));
        assert_ne!(digester.of([&b"a"[..]]), Digester::new().of([&b"a"[..]]));
    }
}
