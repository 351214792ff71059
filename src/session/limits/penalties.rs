//! Failed logins: the answer's growing delay, and windows by address and by user past which nobody is
//! asked any more.
//!
//! Windows count distinct passwords, so a phone that keeps trying an old one locks nobody out; kept
//! are keyed digests, never passwords. They hold for tries at one moment, too: no more of those are
//! judged at once than a window has room for, and the others wait (`at_once`). An address from which
//! a user logged in within a day is not judged by the user's window: strangers cannot lock anyone out.
//! Tables are bounded: a million addresses and as many passwords and logins take less than 64 MiB, and
//! what pushes a record out of a full table is another that did as much.

mod at_once;
mod tries;
mod windows;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use tokio::time::Instant;

use super::super::config::{Limits, Rate};
use super::shared::Note;
use super::ways::Ways;
use super::{bucket, trusted};
use crate::protocol::{Credentials, Limit};

pub use self::at_once::Stake;
use self::at_once::{AtOnce, Open, Taken};
use self::tries::Counts;
pub use self::tries::Try;
use self::windows::{Counter, KNOWN, Mark, judge, seconds};

/// Most that waits to be told to other gateways: told four times a second. More is an attack that every
/// gateway sees for itself.
const OUTBOX: usize = 256;

/// Addresses whose failures are remembered: of 24 octets each.
const ADDRESSES: usize = 1 << 20;

/// Users whose failures are remembered: of 24 octets each.
const USERS: usize = 1 << 18;

/// Passwords that were tried and were wrong, and logins that were good: of 8 octets each.
const MARKS: usize = 1 << 20;

/// A user at an address, as the tables know them: keyed hashes.
#[derive(Clone, Copy, Debug)]
pub struct Whose {
    address: u64,
    user: u64,
    /// The user at this address.
    here: u64,
}

/// Failures of addresses and users, and who is known where.
///
/// It is asked in four places: [`user`](Penalties::user) before anything is looked up,
/// [`admit`](Penalties::admit) once it is known whose login it is, [`stake`](Penalties::stake) before
/// a password is shown to anybody, and [`Try::failed`] or [`Try::succeeded`] once it is known what came
/// of it; where that stays unknown nobody, and nothing is counted.
pub struct Penalties {
    started: Instant,
    /// Of every hash; that of all gateways, where they share a store.
    key: ArcSwap<hmac::Key>,
    /// What others are to hear of.
    outbox: Mutex<Vec<Note>>,
    addresses: Ways<Counter>,
    users: Ways<Counter>,
    tried: Ways<Mark>,
    known: Ways<Mark>,
    at_once: Arc<AtOnce>,
}

impl Default for Penalties {
    fn default() -> Self {
        Penalties::new(ADDRESSES, USERS, MARKS)
    }
}

impl Penalties {
    fn new(addresses: usize, users: usize, marks: usize) -> Self {
        let mut secret = [0; 32];
        // It fails only where the system has no randomness at all.
        let _ = aws_lc_rs::rand::fill(&mut secret);
        Penalties {
            started: Instant::now(),
            key: ArcSwap::from_pointee(hmac::Key::new(hmac::HMAC_SHA256, &secret)),
            outbox: Mutex::default(),
            addresses: Ways::new(addresses),
            users: Ways::new(users),
            tried: Ways::new(marks),
            known: Ways::new(marks),
            at_once: Arc::default(),
        }
    }

    /// A user, by the canonical name, at an address.
    pub fn whose(&self, canonical: &str, ip: IpAddr) -> Whose {
        let address = match bucket(ip) {
            IpAddr::V4(v4) => self.hash("address", &[&v4.octets()]),
            IpAddr::V6(v6) => self.hash("address", &[&v6.octets()]),
        };
        let user = self.hash("user", &[canonical.as_bytes()]);
        let here = [user.to_be_bytes(), address.to_be_bytes()];
        Whose {
            address,
            user,
            here: self.hash("known", &[here.as_flattened()]),
        }
    }

    /// Whether logins of a user from an address are still judged; nothing is counted.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn user(&self, limits: &Limits, whose: Whose, ip: IpAddr) -> Result<(), Limit> {
        if trusted(limits, ip) {
            return Ok(());
        }
        let now = self.now();
        let of_address = self.addresses.get(whose.address);
        judge(of_address, limits.failed_per_ip, now)?;
        if self.knows(whose.here) {
            return Ok(());
        }
        let of_user = self.users.get(whose.user);
        judge(of_user, limits.failed_per_user, now).map(drop)
    }

    /// What a login of a user would be counted as, if it is still judged.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(
        &self,
        limits: &Limits,
        canonical: &str,
        whose: Whose,
        ip: IpAddr,
        credentials: &Credentials,
    ) -> Result<Try, Limit> {
        self.user(limits, whose, ip)?;
        let Whose {
            address,
            user,
            here,
        } = whose;
        let from_anywhere = self.digest(canonical, credentials);
        let parts = [from_anywhere.to_ne_bytes(), address.to_ne_bytes()];
        let [anywhere, at] = &parts;
        Ok(Try {
            address,
            user,
            from_here: self.hash("here", &[anywhere, at]),
            from_anywhere,
            here,
            counts: match trusted(limits, ip) {
                true => Counts::Nowhere,
                false if self.knows(here) => Counts::AtAddress,
                false => Counts::Everywhere,
            },
        })
    }

    /// Waits until the windows have room for a try beside those that are being judged: to be asked before
    /// a password is shown to anybody, and kept until what came of it is counted.
    ///
    /// # Errors
    /// The limit that is reached, now or meanwhile.
    pub async fn stake(&self, limits: &Limits, tried: Try) -> Result<Stake, Limit> {
        let mut behind = None;
        loop {
            let look = || self.open(limits, tried);
            match self.at_once.take(behind, look)? {
                Taken::Stake(stake) => return Ok(stake),
                Taken::Behind(waiter) => {
                    waiter.woken().await;
                    behind = Some(waiter);
                }
            }
        }
    }

    /// The windows that a try would be counted in. A password that is known to be wrong is not counted
    /// again, so it waits for nobody, and nobody for it.
    fn open(&self, limits: &Limits, tried: Try) -> Result<[Option<Open>; 2], Limit> {
        let now = self.now();
        let window = |counters: &Ways<Counter>, key, password, rate: Rate| {
            let left = judge(counters.get(key), rate, now)?;
            let mark = self.tried.get(password);
            let wrong = mark.is_some_and(|mark| mark.age(now) < seconds(rate.per));
            Ok((!wrong).then_some(Open { key, left }))
        };
        let Try {
            address,
            user,
            from_here,
            from_anywhere,
            ..
        } = tried;
        let of_address = || window(&self.addresses, address, from_here, limits.failed_per_ip);
        let of_user = || window(&self.users, user, from_anywhere, limits.failed_per_user);
        Ok(match tried.counts {
            Counts::Nowhere => [None, None],
            Counts::AtAddress => [of_address()?, None],
            Counts::Everywhere => [of_address()?, of_user()?],
        })
    }

    /// Whether the user logged in from there lately.
    fn knows(&self, here: u64) -> bool {
        let now = self.now();
        self.known
            .get(here)
            .is_some_and(|mark| mark.age(now) < KNOWN)
    }

    /// What is kept of a password: enough to know it again, and only in this process.
    fn digest(&self, canonical: &str, credentials: &Credentials) -> u64 {
        let secret = match credentials {
            Credentials::Password(secret) => secret.reveal(),
            Credentials::Certificate => &[],
            Credentials::Token(token) => token.bearer(),
            // A nonce is in it: each try is one of its own.
            Credentials::Scram(first) => first.message(),
        };
        self.hash("password", &[canonical.as_bytes(), secret])
    }

    /// A keyed hash: nobody without the key can choose it, or tell what it is of.
    fn hash(&self, kind: &str, parts: &[&[u8]]) -> u64 {
        let mut digest = hmac::Context::with_key(&self.key.load());
        digest.update(kind.as_bytes());
        for part in parts {
            // In eight octets, big end first, as on every gateway.
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            digest.update(&length.to_be_bytes());
            digest.update(part);
        }
        let octets = digest.sign();
        let first = octets.as_ref().first_chunk().copied().unwrap_or_default();
        u64::from_be_bytes(first)
    }

    /// Hashes by another key from now on: what was counted is forgotten.
    pub(super) fn use_key(&self, secret: &[u8]) {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        self.key.store(Arc::new(key));
    }

    /// What others are to hear of since the last time.
    pub(super) fn take_outbox(&self) -> Vec<Note> {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *outbox)
    }

    fn tell(&self, note: Note) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        if outbox.len() < OUTBOX {
            outbox.push(note);
        }
    }

    /// Takes what another gateway found out so many seconds ago.
    pub(super) fn hear(&self, note: &Note, age: u32, limits: &Limits) {
        let now = self.now();
        match *note {
            Note::Failed {
                address,
                user,
                from_here,
                from_anywhere,
            } => {
                let (of_user, of_address) = (limits.failed_per_user, limits.failed_per_ip);
                if let Some(user) = user.filter(|_| age < seconds(of_user.per)) {
                    self.charge(&self.users, user, from_anywhere, of_user, now);
                }
                if age < seconds(of_address.per)
                    && self.charge(&self.addresses, address, from_here, of_address, now)
                {
                    self.addresses
                        .with(address, now, |counter| counter.again(now));
                }
            }
            Note::Known { here } if age < KNOWN => {
                let then = now.saturating_sub(age).max(1);
                self.known
                    .with(here, now, |mark| mark.at = mark.at.max(then));
            }
            Note::Known { .. } => {}
        }
    }

    /// Counts a password in a window, unless it is one that was tried; whether it was counted.
    fn charge(
        &self,
        window: &Ways<Counter>,
        key: u64,
        password: u64,
        rate: Rate,
        now: u32,
    ) -> bool {
        let per = seconds(rate.per);
        let fresh = self
            .tried
            .with(password, now, |mark| mark.renew(now) >= per);
        if fresh {
            window.with(key, now, |counter| counter.count(rate, now));
        }
        fresh
    }

    /// Seconds since the start, and one: nothing happened at 0.
    fn now(&self) -> u32 {
        let seconds = self.started.elapsed().as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX).saturating_add(1)
    }

    #[cfg(test)]
    fn octets(&self) -> usize {
        let counters = self.addresses.octets() + self.users.octets();
        counters + self.tried.octets() + self.known.octets()
    }
}

#[cfg(test)]
mod tests;
