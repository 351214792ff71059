//! The certificates of the front: which one a client gets, and how a new one takes an old one's place.
//!
//! The choice is by SNI (RFC 6066 §3): an exact name, then a wildcard of one label (RFC 6125 §6.4.3),
//! then the first certificate; so does a client that sends no name, as old POP3 clients do. Nothing
//! is kept per name that was asked for (CVE-2017-15130).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::watch::{Change, Stamp};
use super::{Pair, Problem, pem, provider, self_signed};

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The certificate's file as the settings name it, or `self-signed`.
    pub name: String,
    /// Seconds since 1970.
    pub at: i64,
}

/// A self-signed certificate is made anew when it has less than this to live.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The pairs in use, as a resolver for rustls.
#[derive(Debug)]
pub(super) struct Certificates {
    present: ArcSwap<Table>,
    /// What is known of the files; held while they are looked at, so that looks do not overlap.
    watched: Mutex<Vec<Watched>>,
}

/// The pairs in use, and which names they are good for.
#[derive(Debug)]
struct Table {
    /// In the order of the settings, never empty.
    loaded: Vec<Loaded>,
    /// By whole name, lower case; places in `loaded`.
    exact: HashMap<String, Vec<usize>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Vec<usize>>,
}

#[derive(Clone, Debug)]
struct Loaded {
    name: String,
    key: Arc<CertifiedKey>,
    dns_names: Vec<String>,
    not_after: i64,
}

/// The files of a pair as they were last seen. No files: self-signed.
#[derive(Debug)]
struct Watched {
    pair: Option<Pair>,
    stamps: [Option<Stamp>; 2],
    /// The contents in use.
    used: Option<Digest>,
    /// Contents that were refused; told when seen a second time, since a pair is two files and may
    /// be looked at when only one of them was written.
    refused: Option<(Digest, Told)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    NotYet,
    Already,
}

type Digest = [u8; 32];

impl Certificates {
    /// Reads all pairs; none: makes a self-signed one, or keeps the one made before.
    pub(super) fn load(pairs: &[Pair], before: Option<&Self>) -> Result<Self, Vec<Problem>> {
        if pairs.is_empty() {
            return Self::self_signed(before);
        }
        let mut problems = Vec::new();
        let mut loaded = Vec::new();
        let mut watched = Vec::new();
        for pair in pairs {
            let stamps = Watched::stamps_of(pair);
            let read = pem::read_pair(pair)
                .and_then(|(cert, key)| Ok((digest_of(&cert, &key), load(pair, &cert, &key)?)));
            match read {
                Ok((used, one)) => {
                    loaded.push(one);
                    watched.push(Watched {
                        pair: Some(pair.clone()),
                        stamps,
                        used: Some(used),
                        refused: None,
                    });
                }
                Err(more) => problems.extend(more),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self::of(loaded, watched))
    }

    fn self_signed(before: Option<&Self>) -> Result<Self, Vec<Problem>> {
        let kept = before.and_then(|before| {
            let known = before
                .watched
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let was_made = known.iter().any(|watched| watched.pair.is_none());
            was_made.then(|| before.present.load().loaded.first().cloned())?
        });
        let one = match kept {
            Some(one) => one,
            None => {
                let one = make_self_signed().map_err(|problem| vec![problem])?;
                tracing::warn!(
                    event = "certificate_self_signed",
                    names = one.dns_names.join(" "),
                    hint = "clients will not trust it; set tls.cert and tls.key",
                );
                one
            }
        };
        let watched = Watched {
            pair: None,
            stamps: [None, None],
            used: None,
            refused: None,
        };
        Ok(Self::of(vec![one], vec![watched]))
    }

    fn of(loaded: Vec<Loaded>, watched: Vec<Watched>) -> Self {
        Certificates {
            present: ArcSwap::from_pointee(Table::new(loaded)),
            watched: Mutex::new(watched),
        }
    }

    pub(super) fn expiries(&self) -> Vec<Expiry> {
        let of = |one: &Loaded| Expiry {
            name: one.name.clone(),
            at: one.not_after,
        };
        self.present.load().loaded.iter().map(of).collect()
    }

    /// Looks at every pair's files; swaps all that are new and good at once.
    pub(super) fn refresh(&self) -> Vec<Change> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut loaded = self.present.load().loaded.clone();
        let mut changes = Vec::new();
        for (slot, watched) in loaded.iter_mut().zip(watched.iter_mut()) {
            match watched.look(slot) {
                None => {}
                Some(Ok(new)) => {
                    *slot = new;
                    changes.push(Change::Swapped {
                        name: slot.name.clone(),
                    });
                }
                Some(Err(problems)) => changes.push(Change::Refused { problems }),
            }
        }
        if changes.iter().any(|c| matches!(c, Change::Swapped { .. })) {
            self.present.store(Arc::new(Table::new(loaded)));
        }
        changes
    }
}

impl Watched {
    fn stamps_of(pair: &Pair) -> [Option<Stamp>; 2] {
        [Stamp::of(&pair.cert), Stamp::of(&pair.key)]
    }

    /// What is new since the last look: a pair to be used, or problems not told yet.
    fn look(&mut self, present: &Loaded) -> Option<Result<Loaded, Vec<Problem>>> {
        let Some(pair) = self.pair.clone() else {
            return renew(present);
        };
        let stamps = Self::stamps_of(&pair);
        let pending = matches!(self.refused, Some((_, Told::NotYet)));
        if stamps == self.stamps && !pending {
            return None;
        }
        self.stamps = stamps;
        let (seen, new) = match pem::read_pair(&pair) {
            Ok((cert, key)) => {
                let seen = digest_of(&cert, &key);
                if Some(seen) == self.used {
                    self.refused = None;
                    return None;
                }
                (seen, load(&pair, &cert, &key))
            }
            // Unreadable files have no contents to tell apart; all are the same refusal.
            Err(problems) => ([0; 32], Err(problems)),
        };
        match (new, self.refused) {
            (Ok(new), _) => {
                self.used = Some(seen);
                self.refused = None;
                Some(Ok(new))
            }
            (Err(problems), Some((refused, Told::NotYet))) if refused == seen => {
                self.refused = Some((seen, Told::Already));
                Some(Err(problems))
            }
            (Err(_), Some((refused, Told::Already))) if refused == seen => None,
            (Err(_), _) => {
                self.refused = Some((seen, Told::NotYet));
                None
            }
        }
    }
}

fn renew(present: &Loaded) -> Option<Result<Loaded, Vec<Problem>>> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let ends = Duration::from_secs(u64::try_from(present.not_after).unwrap_or(0));
    if now + RENEW_BEFORE < ends {
        return None;
    }
    Some(make_self_signed().map_err(|problem| vec![problem]))
}

fn make_self_signed() -> Result<Loaded, Problem> {
    let name = "self-signed".to_owned();
    let problem = |text: String| Problem::new(name.as_ref(), text);
    let key = self_signed::make(SystemTime::now(), &provider()).map_err(problem)?;
    let leaf = key.cert.first().map(|der| der.as_ref()).unwrap_or_default();
    let (dns_names, not_after) = facts(leaf).map_err(problem)?;
    Ok(Loaded {
        name: name.clone(),
        key: Arc::new(key),
        dns_names,
        not_after,
    })
}

fn load(pair: &Pair, cert: &[u8], key: &[u8]) -> Result<Loaded, Vec<Problem>> {
    let key = pem::certified_key(pair, cert, key, &provider())?;
    let leaf = key.cert.first().map(|der| der.as_ref()).unwrap_or_default();
    let (dns_names, not_after) =
        facts(leaf).map_err(|text| vec![Problem::new(&pair.cert, text)])?;
    Ok(Loaded {
        name: pair.cert.display().to_string(),
        key: Arc::new(key),
        dns_names,
        not_after,
    })
}

/// The names a certificate is good for, lower case, and when it ends.
fn facts(leaf: &[u8]) -> Result<(Vec<String>, i64), String> {
    let (_, leaf) = X509Certificate::from_der(leaf)
        .map_err(|_| "holds a certificate that is not X.509".to_owned())?;
    let mut names = Vec::new();
    if let Ok(Some(san)) = leaf.subject_alternative_name() {
        for name in &san.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push(name.to_ascii_lowercase());
            }
        }
    }
    if names.is_empty() {
        // Certificates of a private CA's early days have their name only here.
        let common = leaf.subject().iter_common_name();
        names.extend(
            common
                .filter_map(|name| name.as_str().ok())
                .map(str::to_ascii_lowercase),
        );
    }
    Ok((names, leaf.validity().not_after.timestamp()))
}

fn digest_of(cert: &[u8], key: &[u8]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&cert.len().to_be_bytes());
    context.update(cert);
    context.update(key);
    let mut all = [0; 32];
    all.copy_from_slice(context.finish().as_ref());
    all
}

impl Table {
    fn new(loaded: Vec<Loaded>) -> Self {
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        let mut wildcard: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, one) in loaded.iter().enumerate() {
            for name in &one.dns_names {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcard.entry(parent.to_owned()).or_default().push(place),
                    None => exact.entry(name.clone()).or_default().push(place),
                }
            }
        }
        Table {
            loaded,
            exact,
            wildcard,
        }
    }

    /// The pair for a name. Of several good for it, the first whose key can sign as the client
    /// wants (an RSA and an ECDSA certificate side by side).
    fn choose(&self, name: Option<&str>, hello: &ClientHello<'_>) -> Option<&Loaded> {
        let places = name.and_then(|name| self.places(name));
        let candidates = || {
            places
                .into_iter()
                .flatten()
                .filter_map(|at| self.loaded.get(*at))
        };
        let schemes = hello.signature_schemes();
        candidates()
            .find(|one| one.key.key.choose_scheme(schemes).is_some())
            .or_else(|| candidates().next())
            .or_else(|| self.loaded.first())
    }

    fn places(&self, name: &str) -> Option<&Vec<usize>> {
        let name = spelled(name);
        self.exact.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.wildcard.get(parent)
        })
    }
}

/// A name as it is compared: lower case, without a dot at its end.
pub(super) fn spelled(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let present = self.present.load();
        let one = present.choose(hello.server_name(), &hello)?;
        Some(one.key.clone())
    }
}
