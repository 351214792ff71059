//! Password hashes of the schemes a file may use, each as a crate that is kept well reads it.
//!
//! `{ARGON2ID}` (RFC 9106), `{BLF-CRYPT}` or `{BCRYPT}`, `{SHA512-CRYPT}`, named as Dovecot names
//! them. Schemes that keep a password readable, or that a stolen file gives away in an hour, are
//! refused. A hash is checked when it is read, cost included, so that verifying one cannot fail for
//! another reason than the password, nor take more than seconds.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordVerifier as _};
use sha_crypt::ShaCrypt;

/// What a scheme that is not taken, or none at all, is told.
const EXPECTED: &str = "expected {ARGON2ID}, {BLF-CRYPT} or {SHA512-CRYPT}";

/// Longest password that can be right, in octets, as crypt(3) has it: SHA512-CRYPT takes time by
/// its length.
const LONGEST: usize = 511;

/// Most memory one check may take, in KiB, and most of it times passes. Several run at once.
const ARGON2_MEMORY: u32 = 256 * 1024;
const ARGON2_WORK: u64 = 4 * ARGON2_MEMORY as u64;

/// Most threads' worth of lanes.
const ARGON2_LANES: u32 = 64;

/// Octets of a digest that still is one.
const ARGON2_SHORTEST: usize = 16;

/// A cost of 16 takes four seconds.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=16;

/// What takes about as long.
const SHA512_ROUNDS: u32 = 5_000_000;

/// A hash that was checked to be one. It has no `Debug`: it is as good as the password to whoever
/// has time.
pub(super) enum Hash {
    Argon2id(Box<str>),
    Bcrypt(Box<str>),
    Sha512Crypt(Box<str>),
}

impl Hash {
    /// The hash of names nobody has, in a file that has none at all: Argon2id as its RFC's second
    /// recommendation has it, of nothing.
    pub(super) fn nobodys() -> Hash {
        Hash::Argon2id(
            "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA\
             $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                .into(),
        )
    }

    /// Reads `{SCHEME}hash`. The error is for an operator and holds nothing of the text.
    pub(super) fn parse(text: &str) -> Result<Hash, &'static str> {
        let rest = text.strip_prefix('{').ok_or(EXPECTED)?;
        let (scheme, hash) = rest.split_once('}').ok_or(EXPECTED)?;
        match scheme.to_ascii_uppercase().as_str() {
            "ARGON2ID" => argon2id(hash),
            "BLF-CRYPT" | "BCRYPT" => bcrypt(hash),
            "SHA512-CRYPT" => sha512_crypt(hash),
            "PLAIN" | "CLEAR" | "CLEARTEXT" | "PLAIN-TRUNC" => {
                Err("the password is readable: expected {ARGON2ID}, {BLF-CRYPT} or {SHA512-CRYPT}")
            }
            _ => Err(EXPECTED),
        }
    }

    /// Whether it is the hash of this password. Takes its time.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let fits = password.len() <= LONGEST;
        // What is too long costs as much as what is not.
        let password = password.get(..LONGEST).unwrap_or(password);
        let verified = match self {
            Hash::Argon2id(hash) => PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            Hash::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Hash::Sha512Crypt(hash) => ShaCrypt::SHA512.verify_password(password, &**hash).is_ok(),
        };
        verified && fits
    }
}

fn argon2id(text: &str) -> Result<Hash, &'static str> {
    const WRONG: &str = "expected `$argon2id$v=19$m=…,t=…,p=…$salt$hash` behind {ARGON2ID}";
    let hash = PasswordHash::new(text).map_err(|_| WRONG)?;
    let params = argon2::Params::try_from(&hash).map_err(|_| WRONG)?;
    let digest = hash
        .hash
        .as_ref()
        .map_or(0, |digest| digest.as_bytes().len());
    if hash.algorithm.as_str() != "argon2id"
        || hash.version != Some(19)
        || hash.salt.is_none()
        || digest < ARGON2_SHORTEST
    {
        return Err(WRONG);
    }
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > ARGON2_MEMORY || work > ARGON2_WORK || params.p_cost() > ARGON2_LANES {
        return Err("one check would take too long: m may be 262144, m times t 1048576, p 64");
    }
    Ok(Hash::Argon2id(text.into()))
}

fn bcrypt(text: &str) -> Result<Hash, &'static str> {
    const WRONG: &str = "expected `$2y$cost$…` of 60 characters behind {BLF-CRYPT}";
    let parts: bcrypt::HashParts = text.parse().map_err(|_| WRONG)?;
    // `$2x$` is what a broken implementation made: other passwords may fit, too.
    if text.starts_with("$2x$") {
        return Err(WRONG);
    }
    match BCRYPT_COST.contains(&parts.get_cost()) {
        true => Ok(Hash::Bcrypt(text.into())),
        false => Err("expected a cost of 4 to 16"),
    }
}

/// `$6$[rounds=n$]salt$digest`. The crate clamps nothing and believes what it is given, so it is
/// given only what is well-formed.
fn sha512_crypt(text: &str) -> Result<Hash, &'static str> {
    const WRONG: &str = "expected `$6$salt$hash` behind {SHA512-CRYPT}";
    let crypt64 = |text: &str| {
        let good = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'/');
        text.bytes().all(good)
    };
    let mut rest = text.strip_prefix("$6$").ok_or(WRONG)?;
    if let Some(behind) = rest.strip_prefix("rounds=") {
        let (rounds, behind) = behind.split_once('$').ok_or(WRONG)?;
        let rounds: u32 = rounds.parse().map_err(|_| WRONG)?;
        if !(1000..=SHA512_ROUNDS).contains(&rounds) {
            return Err("expected 1000 to 5000000 rounds");
        }
        rest = behind;
    }
    let (salt, digest) = rest.split_once('$').ok_or(WRONG)?;
    let fine = (1..=16).contains(&salt.len()) && crypt64(salt);
    if !fine || digest.len() != 86 || !crypt64(digest) {
        return Err(WRONG);
    }
    Ok(Hash::Sha512Crypt(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `doveadm pw` and `openssl passwd`, of these passwords.
    const HORSE: &[u8] = "correct horse ü".as_bytes();
    const MADE: [(&str, &[u8]); 7] = [
        (
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$xKnRV4g1yAe03y9PBn+eDg$EB5lcT5DA/7VeZWVea+FJQVFtCoGKJlhA16l6iwmU1k",
            HORSE,
        ),
        (
            "{BLF-CRYPT}$2y$05$cQS1diy.G5tLjX13Mmd5fe0ep.y5iS37LODA2Z.axXujd0sgvKwKG",
            HORSE,
        ),
        (
            "{bcrypt}$2y$05$QS25kUNq1IDcrkABuq4pfuA7KrAxNFxgmVKy74ew3kXGEauxRm4XG",
            b"tanstaaf",
        ),
        (
            "{SHA512-CRYPT}$6$s8mmAjRhV52kCOib$1x1lMVxefzTayym2qneorkoMLWgjeY.XONwNfxwJi0fm3.jqw0shbqPuhi1qDHGzEkADaNgBtuKblFTDkh7JR0",
            HORSE,
        ),
        (
            "{SHA512-CRYPT}$6$rounds=1000$Svyky4t9xZZ8XloD$3XcSBrtiMYCO2MX2GDYZ95DxYV3JA92qYu5mfyGY744Flgjl9VptGmZDrJQOV6ME8QeSioj4OCsbQWsg0CYdj1",
            b"tanstaaf",
        ),
        (
            "{sha512-crypt}$6$abcdefghijklmnop$ljrGKt5FMA.vP4GTvj/30H2c./xraBc/xheYZbNVqnbaQDVLEbDZWaWb9jiinIRmAbmberaLqO1DlRinaVPOY/",
            b"tanstaaf",
        ),
        // The known answer of the scheme's own specification.
        (
            "{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            b"Hello world!",
        ),
    ];

    #[test]
    fn what_other_programs_made_is_verified() {
        for (text, password) in MADE {
            let Ok(hash) = Hash::parse(text) else {
                panic!("{text}");
            };
            assert!(hash.verify(password), "{text}");
            for wrong in [&b""[..], b"Tanstaaf", b"tanstaaf ", b"correct horse u"] {
                assert!(!hash.verify(wrong), "{text}");
            }
        }
    }

    #[test]
    fn a_password_that_is_too_long_is_wrong() {
        // Of 511 times `x`, made by crypt(3).
        let long = "{SHA512-CRYPT}$6$abcdefghijklmnop$PpMiLgr/peTgyQQCImLZx0gBH1fjjsUhwoxKDPNI72EyKFV51na4gH1FsQLo44BtSYK35dhagG4eSlm8xZV8L/";
        let Ok(hash) = Hash::parse(long) else {
            panic!("not read");
        };
        assert!(hash.verify(&[b'x'; 511]));
        assert!(!hash.verify(&[b'x'; 512]));
        assert!(!hash.verify(&[b'x'; 24 * 1024]));
    }

    #[test]
    fn nobody_has_nobodys_hash() {
        let Hash::Argon2id(text) = Hash::nobodys() else {
            panic!("another scheme");
        };
        assert!(Hash::parse(&format!("{{ARGON2ID}}{text}")).is_ok());
        assert!(!Hash::nobodys().verify(b""));
    }

    #[test]
    fn only_good_schemes_and_whole_hashes_are_read() {
        let sha = |digest: &str| format!("{{SHA512-CRYPT}}$6$salt${digest}");
        let argon = |params: &str| {
            format!(
                "{{ARGON2ID}}$argon2id${params}$xKnRV4g1yAe03y9PBn+eDg$EB5lcT5DA/7VeZWVea+FJQVFtCoGKJlhA16l6iwmU1k"
            )
        };
        let bcrypt = |start: &str| {
            format!("{{BCRYPT}}{start}cQS1diy.G5tLjX13Mmd5fe0ep.y5iS37LODA2Z.axXujd0sgvKwKG")
        };
        assert!(Hash::parse(&argon("v=19$m=65536,t=3,p=1")).is_ok());
        assert!(Hash::parse(&bcrypt("$2b$05$")).is_ok());
        assert!(Hash::parse(&sha(&"a".repeat(86))).is_ok());
        for bad in [
            String::new(),
            "secret".into(),
            "{PLAIN}secret".into(),
            "{plain}secret".into(),
            "{CLEARTEXT}secret".into(),
            "{MD5-CRYPT}$1$abc$def".into(),
            "{SHA512}aaaa".into(),
            "{ARGON2I}$argon2i$v=19$m=65536,t=3,p=1$xKnRV4g1yAe03y9PBn+eDg$EB5lcT5DA".into(),
            "{ARGON2ID".into(),
            "{}x".into(),
            argon("v=19$m=65536,t=3,p=1").replace("$argon2id", "$argon2i"),
            argon("v=16$m=65536,t=3,p=1"),
            argon("m=65536,t=3,p=1"),
            argon("v=19$m=262145,t=1,p=1"),
            argon("v=19$m=262144,t=5,p=1"),
            argon("v=19$m=4294967295,t=4294967295,p=1"),
            argon("v=19$m=65536,t=3,p=65"),
            argon("v=19$m=65536,t=0,p=1"),
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$xKnRV4g1yAe03y9PBn+eDg".into(),
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$xKnRV4g1yAe03y9PBn+eDg$AAAAAAA".into(),
            bcrypt("$2b$17$"),
            bcrypt("$2b$03$"),
            bcrypt("$2x$05$"),
            bcrypt("$1$05$"),
            bcrypt("$2b$05$a"),
            sha(""),
            sha(&"a".repeat(85)),
            sha(&"a".repeat(87)),
            sha(&"é".repeat(43)),
            sha(&"a".repeat(86)).replace("salt", ""),
            sha(&"a".repeat(86)).replace("salt", "seventeencharacte"),
            sha(&"a".repeat(86)).replace("salt", "rounds=999$salt"),
            sha(&"a".repeat(86)).replace("salt", "rounds=5000001$salt"),
            sha(&"a".repeat(86)).replace("salt", "rounds=1000"),
            sha(&"a".repeat(86)).replace("$6$", "$5$"),
            sha(&"a".repeat(86)) + "$more",
        ] {
            assert!(Hash::parse(&bad).is_err(), "{bad}");
        }
    }
}
