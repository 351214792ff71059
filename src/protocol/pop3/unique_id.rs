//! Unique ids (RFC 1939 §7, UIDL): how one is made from IMAP's UIDVALIDITY, UID and EMAILID.
//!
//! The presets write the octets that well-known servers wrote, so that a store can change behind the
//! gateway and no client fetches its mail again. A template is parsed and its longest id computed
//! when the settings are read; after that, writing an id needs no allocation and cannot make an
//! illegal one: what does not fit 1 to 70 octets of 0x21 to 0x7E is replaced by a digest of it.

use std::fmt;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::config::UidlFormat;

/// The longest unique id (RFC 1939 §7).
pub const LONGEST: usize = 70;

/// The longest EMAILID (RFC 8474 §5.1).
const LONGEST_EMAIL_ID: usize = 255;

/// What an id can be made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// The message's UID.
    pub uid: u32,
    /// The mailbox's UIDVALIDITY; values of 0 and above 32 bits exist in the wild.
    pub uidvalidity: u64,
    /// The message's EMAILID (RFC 8474), where the host has one.
    pub email_id: Option<&'a [u8]>,
}

/// The format wants an EMAILID and there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEmailId;

/// What ids a format needs asked from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// UID and UIDVALIDITY, which are always at hand.
    UidOnly,
    /// EMAILID too (RFC 8474): a host without OBJECTID cannot serve such a maildrop.
    EmailId,
}

impl UidlFormat {
    /// Reads `uidl:` of the settings: the name of a preset or a template.
    pub fn parse(text: &str) -> Result<UidlFormat, BadFormat> {
        Ok(match text {
            "dovecot" => UidlFormat::Dovecot,
            "dovecot-old" | "cyrus" => UidlFormat::Cyrus,
            "uidonly" => UidlFormat::UidOnly,
            "courier" => UidlFormat::Courier,
            "uw" => UidlFormat::Uw,
            _ if text.contains(['{', '}']) => UidlFormat::Template(Template::parse(text)?),
            _ => return Err(BadFormat::UnknownPreset(text.to_owned())),
        })
    }

    /// The presets' names, for messages and the schema.
    pub const PRESETS: [&'static str; 6] = [
        "dovecot",
        "dovecot-old",
        "cyrus",
        "uidonly",
        "courier",
        "uw",
    ];

    /// What has to be asked from the host for it.
    pub fn needs(&self) -> Needs {
        match self {
            UidlFormat::Template(template) if template.parts.contains(&Part::EmailId) => {
                Needs::EmailId
            }
            _ => Needs::UidOnly,
        }
    }

    /// Appends the id of one message to `out`: 1 to [`LONGEST`] octets of 0x21 to 0x7E.
    pub fn write(&self, source: Source<'_>, out: &mut Vec<u8>) -> Result<(), NoEmailId> {
        let Source {
            uid, uidvalidity, ..
        } = source;
        // Writing to a Vec cannot fail.
        let _ = match self {
            UidlFormat::Dovecot => write!(out, "{uid:08x}{uidvalidity:08x}"),
            UidlFormat::Cyrus => write!(out, "{uidvalidity}.{uid}"),
            UidlFormat::UidOnly => write!(out, "{uid}"),
            UidlFormat::Courier => write!(out, "UID{uid}-{uidvalidity}"),
            UidlFormat::Uw => write!(out, "{uidvalidity:08x}{uid:08x}"),
            UidlFormat::Template(template) => return template.write(source, out),
        };
        Ok(())
    }
}

/// A checked template, as `{uidvalidity}-{uid:hex8}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Uid(Digits),
    UidValidity(Digits),
    EmailId,
}

/// How a number is written; hex is in lower case, as the old servers wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    Decimal,
    Hex,
    Hex8,
}

impl Digits {
    fn write(self, number: u64, out: &mut Vec<u8>) {
        let _ = match self {
            Digits::Decimal => write!(out, "{number}"),
            Digits::Hex => write!(out, "{number:x}"),
            Digits::Hex8 => write!(out, "{number:08x}"),
        };
    }
}

impl Template {
    fn parse(text: &str) -> Result<Template, BadFormat> {
        if let Some(other) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(BadFormat::NotPrintable(other));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let literal = rest.split(['{', '}']).next().unwrap_or_default();
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.into()));
            }
            rest = rest.get(literal.len()..).unwrap_or_default();
            if let Some(inner) = rest.strip_prefix('{') {
                let (name, tail) = inner.split_once('}').ok_or(BadFormat::Brace)?;
                parts.push(Part::parse(name)?);
                rest = tail;
            } else if !rest.is_empty() {
                return Err(BadFormat::Brace);
            }
        }
        let names_a_message = |part: &Part| matches!(part, Part::Uid(_) | Part::EmailId);
        if !parts.iter().any(names_a_message) {
            return Err(BadFormat::AllEqual);
        }
        let template = Template {
            text: text.into(),
            parts: parts.into(),
        };
        match template.longest() {
            longest if longest > LONGEST => Err(BadFormat::TooLong(longest)),
            _ => Ok(template),
        }
    }

    /// The longest id it makes, without EMAILIDs: those are bounded by nothing that would be of use
    /// here (255 octets) and short in practice.
    fn longest(&self) -> usize {
        let mut out = Vec::new();
        let longest = Source {
            uid: u32::MAX,
            uidvalidity: u64::MAX,
            email_id: Some(b""),
        };
        match self.write_parts(longest, &mut out) {
            Ok(()) | Err(NoEmailId) => out.len(),
        }
    }

    fn write(&self, source: Source<'_>, out: &mut Vec<u8>) -> Result<(), NoEmailId> {
        let start = out.len();
        if let Err(missing) = self.write_parts(source, out) {
            out.truncate(start);
            return Err(missing);
        }
        let id = out.get(start..).unwrap_or_default();
        if !(1..=LONGEST).contains(&id.len()) || !id.iter().all(u8::is_ascii_graphic) {
            // Only an EMAILID brings this about.
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id);
            out.truncate(start);
            let mut text = [0; 43];
            if let Ok(length) = URL_SAFE_NO_PAD.encode_slice(digest.as_ref(), &mut text) {
                out.extend_from_slice(text.get(..length).unwrap_or_default());
            }
        }
        Ok(())
    }

    fn write_parts(&self, source: Source<'_>, out: &mut Vec<u8>) -> Result<(), NoEmailId> {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Uid(digits) => digits.write(source.uid.into(), out),
                Part::UidValidity(digits) => digits.write(source.uidvalidity, out),
                Part::EmailId => {
                    let id = source.email_id.ok_or(NoEmailId)?;
                    out.extend_from_slice(id.get(..LONGEST_EMAIL_ID).unwrap_or(id));
                }
            }
        }
        Ok(())
    }
}

impl Part {
    fn parse(name: &str) -> Result<Part, BadFormat> {
        Ok(match name {
            "uid" => Part::Uid(Digits::Decimal),
            "uid:hex" => Part::Uid(Digits::Hex),
            "uid:hex8" => Part::Uid(Digits::Hex8),
            "uidvalidity" => Part::UidValidity(Digits::Decimal),
            "uidvalidity:hex" => Part::UidValidity(Digits::Hex),
            "uidvalidity:hex8" => Part::UidValidity(Digits::Hex8),
            "emailid" => Part::EmailId,
            _ => return Err(BadFormat::UnknownVariable(name.to_owned())),
        })
    }
}

/// As it was written.
impl fmt::Display for UidlFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UidlFormat::Dovecot => "dovecot",
            UidlFormat::Cyrus => "cyrus",
            UidlFormat::UidOnly => "uidonly",
            UidlFormat::Courier => "courier",
            UidlFormat::Uw => "uw",
            UidlFormat::Template(template) => &template.text,
        })
    }
}

/// Why a text is no format of unique ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadFormat {
    /// Neither a preset's name nor a template.
    UnknownPreset(String),
    /// A variable that does not exist.
    UnknownVariable(String),
    /// A brace without its partner.
    Brace,
    /// A character that may not be in an id (RFC 1939 §7).
    NotPrintable(char),
    /// No part of it differs from message to message.
    AllEqual,
    /// The longest id it makes has so many octets.
    TooLong(usize),
}

impl fmt::Display for BadFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadFormat::UnknownPreset(name) => write!(
                f,
                "expected one of {} or a template such as {{uidvalidity}}.{{uid}}, got {name:?}",
                UidlFormat::PRESETS.join(", ")
            ),
            BadFormat::UnknownVariable(name) => write!(
                f,
                "expected {{uid}}, {{uidvalidity}} (each also with :hex, :hex8) or {{emailid}}, \
                 got {{{name}}}"
            ),
            BadFormat::Brace => f.write_str("a brace has no partner"),
            BadFormat::NotPrintable(c) => write!(
                f,
                "expected printable ASCII without spaces (RFC 1939 §7), got {c:?}"
            ),
            BadFormat::AllEqual => {
                f.write_str("all ids would be equal: expected {uid} or {emailid} in it")
            }
            BadFormat::TooLong(octets) => write!(
                f,
                "an id may have {LONGEST} octets (RFC 1939 §7), these can have {octets}"
            ),
        }
    }
}

impl std::error::Error for BadFormat {}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(format: &str, uid: u32, uidvalidity: u64, email_id: Option<&str>) -> String {
        let mut out = b"1 ".to_vec();
        let source = Source {
            uid,
            uidvalidity,
            email_id: email_id.map(str::as_bytes),
        };
        match UidlFormat::parse(format).unwrap().write(source, &mut out) {
            Ok(()) => String::from_utf8(out.split_off(2)).unwrap(),
            Err(NoEmailId) => {
                assert_eq!(out, b"1 ");
                "no emailid".to_owned()
            }
        }
    }

    #[test]
    fn known_answers() {
        for (format, uid, uidvalidity, email_id, want) in [
            ("dovecot", 11, 0x6553_f100, None, "0000000b6553f100"),
            ("dovecot-old", 11, 1_700_000_000, None, "1700000000.11"),
            ("cyrus", 11, 1_700_000_000, None, "1700000000.11"),
            ("uidonly", 11, 1_700_000_000, None, "11"),
            ("courier", 11, 1_700_000_000, None, "UID11-1700000000"),
            ("uw", 11, 0x6553_f100, None, "6553f1000000000b"),
            // Servers with a UIDVALIDITY of 0 or beyond 32 bits exist.
            ("dovecot", 1, 0, None, "0000000100000000"),
            (
                "dovecot",
                u32::MAX,
                u64::MAX,
                None,
                "ffffffffffffffffffffffff",
            ),
            ("{uidvalidity}-{uid}", 7, 9, None, "9-7"),
            (
                "{uidvalidity}{uid}",
                11,
                1_700_000_000,
                None,
                "170000000011",
            ),
            (
                "x{uid:hex}.{uidvalidity:hex}y",
                255,
                4096,
                None,
                "xff.1000y",
            ),
            (
                "{uid:hex8}{uidvalidity:hex8}",
                11,
                0x6553_f100,
                None,
                "0000000b6553f100",
            ),
            (
                "{emailid}",
                11,
                1,
                Some("M6d99ac3275bb4e"),
                "M6d99ac3275bb4e",
            ),
            ("{emailid}-{uid}", 11, 1, Some("M1"), "M1-11"),
            ("{emailid}", 11, 1, None, "no emailid"),
            ("a{emailid}", 11, 1, None, "no emailid"),
        ] {
            assert_eq!(id(format, uid, uidvalidity, email_id), want, "{format}");
        }
    }

    #[test]
    fn what_does_not_fit_is_replaced_by_a_digest() {
        let fits = "a".repeat(70);
        assert_eq!(id("{emailid}", 1, 1, Some(&fits)), fits);
        let digest = id("{emailid}", 1, 1, Some(&"a".repeat(71)));
        assert_eq!(digest.len(), 43);
        assert!(digest.bytes().all(|b| b.is_ascii_graphic()));
        assert_ne!(digest, id("{emailid}", 1, 1, Some(&"a".repeat(72))));
        assert_eq!(id("{emailid}", 1, 1, Some("a b\r\nc")).len(), 43);
        // An id is never empty. SHA-256 of nothing, in base64url.
        assert_eq!(
            id("{emailid}", 1, 1, Some("")),
            "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
        );
    }

    #[test]
    fn bad_formats_are_told() {
        for (format, want) in [
            ("dovcot", BadFormat::UnknownPreset("dovcot".into())),
            ("", BadFormat::UnknownPreset("".into())),
            ("{guid}", BadFormat::UnknownVariable("guid".into())),
            ("{uid:HEX}", BadFormat::UnknownVariable("uid:HEX".into())),
            ("{}", BadFormat::UnknownVariable("".into())),
            ("{uid", BadFormat::Brace),
            ("uid}", BadFormat::Brace),
            ("{uid}}", BadFormat::Brace),
            ("{{uid}}", BadFormat::UnknownVariable("{uid".into())),
            ("{uid} {uidvalidity}", BadFormat::NotPrintable(' ')),
            ("{uid}é", BadFormat::NotPrintable('é')),
            ("{uidvalidity}", BadFormat::AllEqual),
            (
                &format!("{}{{uid}}", "x".repeat(61)),
                BadFormat::TooLong(71),
            ),
            (
                "{uid}{uid}{uidvalidity}{uidvalidity}{uidvalidity:hex8}",
                BadFormat::TooLong(76),
            ),
        ] {
            assert_eq!(UidlFormat::parse(format), Err(want), "{format}");
        }
        assert!(UidlFormat::parse(&format!("{}{{uid}}", "x".repeat(60))).is_ok());
    }

    #[test]
    fn formats_say_what_they_need_and_how_they_were_written() {
        for name in UidlFormat::PRESETS {
            let format = UidlFormat::parse(name).unwrap();
            assert_eq!(format.needs(), Needs::UidOnly);
            assert_eq!(UidlFormat::parse(&format.to_string()), Ok(format));
        }
        let format = UidlFormat::parse("{emailid}-{uid}").unwrap();
        assert_eq!(format.needs(), Needs::EmailId);
        assert_eq!(format.to_string(), "{emailid}-{uid}");
    }
}
