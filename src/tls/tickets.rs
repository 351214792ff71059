//! Session tickets (RFC 5077, RFC 8446 §4.6.1) that every replica with the same secret can open.
//!
//! Keys are not stored: each is derived by HKDF (RFC 5869) from a secret and the number of a
//! six-hour slot of time, so that all replicas change keys together and an old key is gone when its
//! slot and the next are over. A ticket is `slot (4) ‖ nonce (12) ‖ AES-256-GCM-SIV(state)`; the
//! slot is authenticated. Without a file the secret is random and lives as long as the process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, hkdf, rand};
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::Problem;
use super::pem;
use super::watch::{Change, Stamp};
use crate::protocol::Protocol;

/// How long one key encrypts. A ticket can be opened for one to two slots.
const SLOT: u64 = 6 * 3600;

/// Shortest secret in a file: below it the keys would be weaker than the ciphers they protect.
const MIN_SECRET: usize = 32;

/// Longest ticket looked at. Ours have about 200 octets; what is longer was not made here.
const MAX_TICKET: usize = 4096;

const SLOT_LEN: usize = 4;

/// The secret of this process or of all replicas; makes the ticketers of listeners.
#[derive(Debug)]
pub(super) struct Tickets {
    shared: Option<PathBuf>,
    secrets: Arc<ArcSwap<Secrets>>,
    stamp: Mutex<Option<Stamp>>,
    clock: fn() -> u64,
}

/// What keys are derived from. The secret before the present one still opens tickets.
struct Secrets {
    current: Secret,
    before: Option<Secret>,
}

type Secret = Arc<Zeroizing<Vec<u8>>>;

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(***)")
    }
}

/// Who may open each other's tickets. A ticket of one never resumes a session of another
/// (CVE-2025-23419).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The listeners of a protocol that ask for no client certificate.
    Protocol(Protocol),
}

impl Tickets {
    /// Reads the shared secret, or takes over or makes one for this process.
    pub(super) fn new(shared: Option<&Path>, before: Option<&Tickets>) -> Result<Self, Problem> {
        Self::with_clock(shared, before, slot_now)
    }

    fn with_clock(
        shared: Option<&Path>,
        before: Option<&Tickets>,
        clock: fn() -> u64,
    ) -> Result<Self, Problem> {
        let stamp = shared.and_then(Stamp::of);
        let known = before.map(|tickets| tickets.secrets.load_full());
        let secrets = match (shared, known) {
            (None, Some(known)) if before.is_some_and(|b| b.shared.is_none()) => {
                known.succeeded_by(known.current.clone())
            }
            (None, _) => Secrets::of(random_secret()?),
            (Some(file), known) => {
                let secret = read_secret(file)?;
                match known {
                    Some(known) => known.succeeded_by(secret),
                    None => Secrets::of(secret),
                }
            }
        };
        Ok(Tickets {
            shared: shared.map(Path::to_owned),
            secrets: Arc::new(ArcSwap::from_pointee(secrets)),
            stamp: Mutex::new(stamp),
            clock,
        })
    }

    /// The ticketer of listeners that trust each other.
    pub(super) fn producer(&self, trust: Trust) -> Arc<dyn ProducesTickets> {
        Arc::new(Producer {
            trust,
            secrets: self.secrets.clone(),
            clock: self.clock,
            keys: ArcSwap::from_pointee(None),
        })
    }

    /// Reads the shared secret again if its file changed.
    pub(super) fn refresh(&self) -> Option<Change> {
        let file = self.shared.as_deref()?;
        let stamp = Stamp::of(file);
        let mut known = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == stamp {
            return None;
        }
        *known = stamp;
        match read_secret(file) {
            Ok(secret) => {
                let secrets = self.secrets.load();
                if *secrets.current == *secret {
                    return None;
                }
                self.secrets.store(Arc::new(secrets.succeeded_by(secret)));
                Some(Change::Swapped {
                    name: file.display().to_string(),
                })
            }
            Err(problem) => Some(Change::Refused {
                problems: vec![problem],
            }),
        }
    }
}

impl Secrets {
    fn of(current: Secret) -> Self {
        Secrets {
            current,
            before: None,
        }
    }

    fn succeeded_by(&self, next: Secret) -> Self {
        if *next == *self.current {
            return Secrets {
                current: next,
                before: self.before.clone(),
            };
        }
        Secrets {
            current: next,
            before: Some(self.current.clone()),
        }
    }
}

fn read_secret(file: &Path) -> Result<Secret, Problem> {
    let mut content = pem::read(file)?;
    // An editor's newline must not make another secret of the same text.
    while matches!(content.last(), Some(b'\n' | b'\r')) {
        content.pop();
    }
    if content.len() < MIN_SECRET {
        let text = format!(
            "expected at least {MIN_SECRET} random octets, got {}; `openssl rand -base64 48` makes them",
            content.len()
        );
        return Err(Problem::new(file, text));
    }
    Ok(Arc::new(content))
}

fn random_secret() -> Result<Secret, Problem> {
    let mut secret = Zeroizing::new(vec![0; MIN_SECRET]);
    rand::fill(&mut secret)
        .map_err(|_| Problem::new(Path::new("/dev/urandom"), "no random octets to be had"))?;
    Ok(Arc::new(secret))
}

fn slot_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs() / SLOT
}

/// What rustls asks for tickets.
struct Producer {
    trust: Trust,
    secrets: Arc<ArcSwap<Secrets>>,
    clock: fn() -> u64,
    /// Derived when first needed and when the slot or the secret is another.
    keys: ArcSwap<Option<Keys>>,
}

/// The keys of the present, and those whose tickets are still taken.
struct Keys {
    slot: u64,
    secrets: Arc<Secrets>,
    /// With their slots; the first encrypts.
    keys: Vec<(u32, LessSafeKey)>,
}

impl Producer {
    fn keys(&self) -> Option<Arc<Option<Keys>>> {
        let slot = (self.clock)();
        let secrets = self.secrets.load_full();
        let known = self.keys.load_full();
        match &*known {
            Some(keys) if keys.slot == slot && Arc::ptr_eq(&keys.secrets, &secrets) => Some(known),
            _ => {
                let keys = Arc::new(Some(self.derive(slot, secrets)?));
                self.keys.store(keys.clone());
                Some(keys)
            }
        }
    }

    fn derive(&self, slot: u64, secrets: Arc<Secrets>) -> Option<Keys> {
        // The next slot too: another replica's clock may be a little ahead.
        let slots = [slot, slot.wrapping_sub(1), slot.wrapping_add(1)];
        let mut keys = Vec::with_capacity(2 * slots.len());
        for secret in [Some(&secrets.current), secrets.before.as_ref()]
            .into_iter()
            .flatten()
        {
            for slot in slots {
                // Six-hour slots fit 32 bits for two and a half million years.
                let slot = u32::try_from(slot & u64::from(u32::MAX)).ok()?;
                keys.push((slot, key(secret, self.trust, slot)?));
            }
        }
        Some(Keys {
            slot,
            secrets,
            keys,
        })
    }
}

fn key(secret: &[u8], trust: Trust, slot: u32) -> Option<LessSafeKey> {
    let trust = match trust {
        Trust::Protocol(protocol) => protocol.as_str(),
    };
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"gatepost session ticket 1").extract(secret);
    let slot = slot.to_be_bytes();
    let info = [trust.as_bytes(), &slot];
    let okm = prk.expand(&info, &AES_256_GCM_SIV).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(okm)))
}

impl ProducesTickets for Producer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // What even a ticket made at the end of a slot is good for.
        u32::try_from(SLOT).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys()?;
        let (slot, key) = keys.as_ref().as_ref()?.keys.first()?;
        let slot = slot.to_be_bytes();
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(slot),
            &mut sealed,
        )
        .ok()?;
        Some([&slot[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        if cipher.len() > MAX_TICKET {
            return None;
        }
        let (slot, rest) = cipher.split_first_chunk::<SLOT_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys()?;
        let named = |(of, _): &&(u32, LessSafeKey)| {
            constant_time::verify_slices_are_equal(&of.to_be_bytes(), slot).is_ok()
        };
        keys.as_ref()
            .as_ref()?
            .keys
            .iter()
            .filter(named)
            .find_map(|(_, key)| {
                let mut state = sealed.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let len = key
                    .open_in_place(nonce, Aad::from(*slot), &mut state)
                    .ok()?
                    .len();
                state.truncate(len);
                Some(state)
            })
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn producer(tickets: &Tickets, clock: fn() -> u64, protocol: Protocol) -> Producer {
        Producer {
            trust: Trust::Protocol(protocol),
            secrets: tickets.secrets.clone(),
            clock,
            keys: ArcSwap::from_pointee(None),
        }
    }

    #[test]
    fn a_ticket_is_good_for_its_slot_and_the_next() {
        static SLOT_NOW: AtomicU64 = AtomicU64::new(0);
        fn clock() -> u64 {
            SLOT_NOW.load(Ordering::Relaxed)
        }
        let tickets = Tickets::new(None, None).unwrap();
        let ours = producer(&tickets, clock, Protocol::Imap);
        for (made, opened, want) in [
            (100, 100, true),
            (100, 101, true),
            (100, 102, false),
            (100, 99, true), // a replica whose clock is ahead made it
            (100, 98, false),
            (u64::from(u32::MAX), u64::from(u32::MAX) + 1, true),
        ] {
            SLOT_NOW.store(made, Ordering::Relaxed);
            let ticket = ours.encrypt(b"state").unwrap();
            SLOT_NOW.store(opened, Ordering::Relaxed);
            let state = ours.decrypt(&ticket);
            assert_eq!(state.is_some(), want, "made in {made}, opened in {opened}");
            assert!(state.is_none_or(|state| state == b"state"));
        }
    }

    #[test]
    fn damaged_and_foreign_tickets_are_refused() {
        let tickets = Tickets::new(None, None).unwrap();
        let ours = producer(&tickets, slot_now, Protocol::Imap);
        let ticket = ours.encrypt(b"state").unwrap();
        for at in 0..ticket.len() {
            let mut damaged = ticket.clone();
            damaged[at] ^= 1;
            assert_eq!(ours.decrypt(&damaged), None, "octet {at}");
            assert_eq!(ours.decrypt(&ticket[..at]), None, "cut at {at}");
        }
        assert_eq!(ours.decrypt(&vec![0; MAX_TICKET + 1]), None);
        let pop3 = producer(&tickets, slot_now, Protocol::Pop3);
        assert_eq!(pop3.decrypt(&ticket), None);
        let others = Tickets::new(None, None).unwrap();
        let theirs = producer(&others, slot_now, Protocol::Imap);
        assert_eq!(theirs.decrypt(&ticket), None);
        assert_ne!(ours.encrypt(b"state"), ours.encrypt(b"state"));
    }
}
