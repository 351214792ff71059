//! Failed logins: the answer's growing delay, and windows by address and by user past which nobody is
//! asked any more.
//!
//! Windows count distinct passwords, so a phone that keeps trying an old one locks nobody out; kept
//! are keyed digests, never passwords. An address from which a user logged in within a day is not
//! judged by the user's window: strangers cannot lock anyone out. Tables are bounded: a million
//! addresses and as many passwords and logins take less than 64 MiB, and what pushes a record out of
//! a full table is another that did as much.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use tokio::time::Instant;

use super::super::config::{Limits, Rate};
use super::shared::Note;
use super::ways::{Slot, Ways};
use super::{Reached, bucket, trusted};
use crate::protocol::Credentials;

/// Longest delay of a failed login's answer.
const DELAY_MAX: Duration = Duration::from_secs(15);

/// An address's growing delay is forgotten after this long without a failure.
const STREAK_FORGOTTEN: u32 = 600;

/// How long an address from which a user logged in is exempt from the user's window.
const KNOWN: u32 = 24 * 60 * 60;

/// A user who is known at an address is told of to others again after this long.
const KNOWN_TOLD: u32 = 60 * 60;

/// Most that waits to be told to other gateways: told four times a second. More is an attack that every
/// gateway sees for itself.
const OUTBOX: usize = 256;

/// Addresses whose failures are remembered: of 24 octets each.
const ADDRESSES: usize = 1 << 20;

/// Users whose failures are remembered: of 24 octets each.
const USERS: usize = 1 << 18;

/// Passwords that were tried and were wrong, and logins that were good: of 8 octets each.
const MARKS: usize = 1 << 20;

/// What this limit is called in logs and metrics.
const REACHED: Reached = "failed_logins";

/// Failures of addresses and users, and who is known where.
///
/// It is asked in three places: [`user`](Penalties::user) before anything is looked up,
/// [`admit`](Penalties::admit) before a password is shown to anybody, and [`Try::failed`],
/// [`Try::forgiven`] or [`Try::succeeded`] once it is known what came of it.
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
}

/// A login that is being tried: what it would add to the windows.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// Exempt from penalties.
    trusted: bool,
    address: u64,
    user: u64,
    /// The password, of this user from this address.
    from_here: u64,
    /// The password, of this user from anywhere.
    from_anywhere: u64,
    /// The user from this address, as known.
    here: u64,
    charged: Charged,
}

/// Whether a try is in the user's window already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charged {
    /// It is: so that many tries at once are not judged as one.
    Now,
    /// It was there before: this password is known to be wrong, or another try is under way with it.
    Before,
    /// It comes in when it has failed: what cannot be compared would add up for one user's own
    /// devices.
    Later,
    /// Never: the user is known at this address.
    Never,
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
        }
    }

    /// Whether logins of a user from an address are still judged; nothing is counted.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn user(&self, limits: &Limits, canonical: &str, ip: IpAddr) -> Result<(), Reached> {
        self.address(limits, ip)?;
        let (user, here) = self.hashes(canonical, self.hash_of_address(ip));
        if trusted(limits, ip) || self.knows(here) {
            return Ok(());
        }
        judge(self.users.get(user), limits.failed_per_user, self.now())
    }

    /// Whether logins from an address are still judged.
    ///
    /// # Errors
    /// The limit that is reached.
    fn address(&self, limits: &Limits, ip: IpAddr) -> Result<(), Reached> {
        if trusted(limits, ip) {
            return Ok(());
        }
        let counter = self.addresses.get(self.hash_of_address(ip));
        judge(counter, limits.failed_per_ip, self.now())
    }

    /// Whether a login of a user is still judged: to be asked before the password is shown to
    /// anybody.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(
        &self,
        limits: &Limits,
        canonical: &str,
        ip: IpAddr,
        credentials: &Credentials,
    ) -> Result<Try, Reached> {
        self.address(limits, ip)?;
        let now = self.now();
        let address = self.hash_of_address(ip);
        let (user, here) = self.hashes(canonical, address);
        let from_anywhere = self.digest(canonical, credentials);
        let mut it = Try {
            trusted: trusted(limits, ip),
            address,
            user,
            from_here: self.hash(
                "here",
                &[&from_anywhere.to_ne_bytes(), &address.to_ne_bytes()],
            ),
            from_anywhere,
            here,
            charged: Charged::Never,
        };
        if it.trusted || self.knows(here) {
            return Ok(it);
        }
        let rate = limits.failed_per_user;
        judge(self.users.get(user), rate, now)?;
        it.charged = match credentials {
            Credentials::Scram(_) => Charged::Later,
            _ => match self.charge(&self.users, user, from_anywhere, rate, now) {
                true => Charged::Now,
                false => Charged::Before,
            },
        };
        Ok(it)
    }

    /// Whether the user logged in from there lately.
    fn knows(&self, here: u64) -> bool {
        let now = self.now();
        self.known
            .get(here)
            .is_some_and(|mark| mark.age(now) < KNOWN)
    }

    /// Of the user, and of the user at this address.
    fn hashes(&self, canonical: &str, address: u64) -> (u64, u64) {
        let user = self.hash("user", &[canonical.as_bytes()]);
        let here = [user.to_be_bytes(), address.to_be_bytes()];
        (user, self.hash("known", &[here.as_flattened()]))
    }

    fn hash_of_address(&self, ip: IpAddr) -> u64 {
        match bucket(ip) {
            IpAddr::V4(v4) => self.hash("address", &[&v4.octets()]),
            IpAddr::V6(v6) => self.hash("address", &[&v6.octets()]),
        }
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
        self.key.store(std::sync::Arc::new(key));
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

impl Try {
    /// The password was wrong; how long the answer is to be held back.
    pub fn failed(self, penalties: &Penalties, limits: &Limits) -> Duration {
        let base = limits.failure_delay;
        if self.trusted {
            return base.min(DELAY_MAX);
        }
        let now = penalties.now();
        // `Before`: the other try with it may have been forgiven meanwhile.
        let mut fresh = self.charged == Charged::Now;
        if matches!(self.charged, Charged::Before | Charged::Later) {
            let rate = limits.failed_per_user;
            fresh = penalties.charge(&penalties.users, self.user, self.from_anywhere, rate, now);
        }
        let doublings = penalties
            .addresses
            .with(self.address, now, |counter| counter.again(now));
        let rate = limits.failed_per_ip;
        fresh |= penalties.charge(
            &penalties.addresses,
            self.address,
            self.from_here,
            rate,
            now,
        );
        if fresh {
            penalties.tell(Note::Failed {
                address: self.address,
                user: (self.charged != Charged::Never).then_some(self.user),
                from_here: self.from_here,
                from_anywhere: self.from_anywhere,
            });
        }
        base.saturating_mul(1 << doublings.min(16)).min(DELAY_MAX)
    }

    /// It is not known whether the password is wrong: the host was down, a limit was met.
    pub fn forgiven(self, penalties: &Penalties) {
        if self.charged == Charged::Now {
            let now = penalties.now();
            penalties.tried.with(self.from_anywhere, now, Mark::forget);
            penalties.users.with(self.user, now, Counter::uncount);
        }
    }

    /// The password was right.
    pub fn succeeded(self, penalties: &Penalties) {
        self.forgiven(penalties);
        if self.trusted {
            return;
        }
        let now = penalties.now();
        let before = penalties.known.with(self.here, now, |mark| mark.renew(now));
        if before >= KNOWN_TOLD {
            penalties.tell(Note::Known { here: self.here });
        }
        // Somebody there knows a password: only the delay starts anew, the windows stay.
        if penalties.addresses.get(self.address).is_some() {
            penalties
                .addresses
                .with(self.address, now, |counter| counter.streak = 0);
        }
    }
}

/// Whether a window has room.
fn judge(counter: Option<Counter>, rate: Rate, now: u32) -> Result<(), Reached> {
    match counter {
        Some(counter) if counter.within(rate, now) >= u64::from(rate.count) => Err(REACHED),
        Some(_) | None => Ok(()),
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1)
}

/// Failures of an address or a user: of the window that is open, and of the one before, which
/// counts by the part of it that is not yet past.
#[derive(Clone, Copy, Debug)]
struct Counter {
    key: u64,
    /// When the open window began.
    opened: u32,
    /// The last failure.
    last: u32,
    open: u16,
    before: u16,
    /// Failures one after the other, for the delay.
    streak: u8,
}

impl Counter {
    fn count(&mut self, rate: Rate, now: u32) {
        let per = seconds(rate.per);
        let age = now.saturating_sub(self.opened);
        if self.opened == 0 || age >= per.saturating_mul(2) {
            (self.opened, self.open, self.before) = (now, 0, 0);
        } else if age >= per {
            self.opened = self.opened.saturating_add(per);
            (self.before, self.open) = (self.open, 0);
        }
        self.open = self.open.saturating_add(1);
        self.last = now;
    }

    fn uncount(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// How many there were within the time, the window before taken in part.
    fn within(&self, rate: Rate, now: u32) -> u64 {
        let per = u64::from(seconds(rate.per));
        let age = u64::from(now.saturating_sub(self.opened));
        let (open, before) = match age {
            age if age < per => (self.open, self.before),
            age if age < per * 2 => (0, self.open),
            _ => return 0,
        };
        let left = per.saturating_sub(age % per);
        u64::from(open).saturating_add((u64::from(before) * left).div_ceil(per))
    }

    /// How many failures came before this one without a good login or a long pause between.
    fn again(&mut self, now: u32) -> u8 {
        if now.saturating_sub(self.last) >= STREAK_FORGOTTEN {
            self.streak = 0;
        }
        let before = self.streak;
        self.streak = self.streak.saturating_add(1);
        self.last = now;
        before
    }
}

impl Slot for Counter {
    fn new(hash: u64) -> Self {
        Counter {
            key: hash,
            opened: 0,
            last: 0,
            open: 0,
            before: 0,
            streak: 0,
        }
    }

    fn is(&self, hash: u64) -> bool {
        self.key == hash
    }

    /// More failures are worth more, then later ones; a day later all are worth nothing.
    fn worth(&self, now: u32) -> u64 {
        let failures = u64::from(self.open) + u64::from(self.before) + u64::from(self.streak);
        match now.saturating_sub(self.last) < KNOWN {
            true => failures << 32 | u64::from(self.last),
            false => 0,
        }
    }
}

/// That something was, and when.
#[derive(Clone, Copy, Debug)]
struct Mark {
    print: u32,
    at: u32,
}

impl Mark {
    /// How long it is ago; for ever, if it never was.
    fn age(&self, now: u32) -> u32 {
        match self.at {
            0 => u32::MAX,
            at => now.saturating_sub(at),
        }
    }

    /// It is now; how long ago it was before.
    fn renew(&mut self, now: u32) -> u32 {
        let age = self.age(now);
        self.at = now;
        age
    }

    fn forget(&mut self) {
        self.at = 0;
    }
}

impl Slot for Mark {
    fn new(hash: u64) -> Self {
        let print = u32::try_from(hash >> 32).unwrap_or_default();
        Mark { print, at: 0 }
    }

    fn is(&self, hash: u64) -> bool {
        u64::from(self.print) == hash >> 32
    }

    fn worth(&self, _now: u32) -> u64 {
        self.at.into()
    }
}

#[cfg(test)]
mod tests;
