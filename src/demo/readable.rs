//! What a reader sees of a message, for SEARCH: encoded words (RFC 2047) and transfer encodings
//! undone, charsets UTF-8 and Latin-1 known, in lower case.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::mail::{self, Content, Part};

/// Base64 as mail has it: padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A header's text, or one field's.
pub(super) fn header(text: &[u8]) -> String {
    let mut readable = String::new();
    let mut rest = text;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, behind) = rest.split_at_checked(start).unwrap_or_default();
        rest = behind;
        // White space between two encoded words is not shown (RFC 2047 §6.2).
        if readable.is_empty() || !before.trim_ascii().is_empty() {
            readable.push_str(&String::from_utf8_lossy(before));
        }
        match encoded_word(rest) {
            Some((word, length)) => {
                readable.push_str(&word);
                rest = rest.get(length..).unwrap_or_default();
            }
            None => {
                readable.push_str("=?");
                rest = rest.get(2..).unwrap_or_default();
            }
        }
    }
    readable.push_str(&String::from_utf8_lossy(rest));
    readable.retain(|c| c != '\r' && c != '\n');
    readable.to_lowercase()
}

/// The text of all parts that have some.
pub(super) fn body(raw: &[u8], part: &Part) -> String {
    let mut text = String::new();
    gather(raw, part, &mut text);
    text
}

fn gather(raw: &[u8], part: &Part, text: &mut String) {
    match &part.content {
        Content::Parts(parts) => parts.iter().for_each(|part| gather(raw, part, text)),
        Content::Message(message) => {
            text.push_str(&header(raw.get(message.header.clone()).unwrap_or_default()));
            gather(raw, message, text);
        }
        Content::Leaf if part.content_type.major == "TEXT" => {
            let content = raw.get(part.body.clone()).unwrap_or_default();
            let fields = raw.get(part.header.clone()).unwrap_or_default();
            let encoding = mail::field(fields, "Content-Transfer-Encoding").unwrap_or_default();
            let decoded = match encoding.to_ascii_lowercase().as_slice() {
                b"base64" => base64(content),
                b"quoted-printable" => quoted(content, b'=', Spaces::Kept),
                _ => content.to_vec(),
            };
            let charset = part.content_type.parameter("CHARSET").unwrap_or_default();
            text.push_str(&characters(charset, &decoded).to_lowercase());
            text.push('\n');
        }
        Content::Leaf => {}
    }
}

/// `=?charset?encoding?text?=` at the start, and its length.
fn encoded_word(text: &[u8]) -> Option<(String, usize)> {
    let inner = text.strip_prefix(b"=?")?;
    let mut parts = inner.splitn(4, |&b| b == b'?');
    let (charset, encoding, content) = (parts.next()?, parts.next()?, parts.next()?);
    if !parts.next()?.starts_with(b"=") {
        return None;
    }
    let decoded = match encoding {
        b"B" | b"b" => base64(content),
        b"Q" | b"q" => quoted(content, b'=', Spaces::Underscores),
        _ => return None,
    };
    // The language tag of RFC 2231 §5.
    let charset = charset.split(|&b| b == b'*').next().unwrap_or_default();
    let length = 2 + charset_length(inner)? + 1 + encoding.len() + 1 + content.len() + 2;
    Some((characters(charset, &decoded), length))
}

fn charset_length(inner: &[u8]) -> Option<usize> {
    memchr::memchr(b'?', inner)
}

fn characters(charset: &[u8], text: &[u8]) -> String {
    match charset.to_ascii_lowercase().as_slice() {
        b"iso-8859-1" | b"iso-8859-15" | b"windows-1252" => {
            text.iter().map(|&b| char::from(b)).collect()
        }
        _ => String::from_utf8_lossy(text).into_owned(),
    }
}

fn base64(text: &[u8]) -> Vec<u8> {
    let mut clean = text.to_vec();
    clean.retain(|b| b.is_ascii_alphanumeric() || *b == b'+' || *b == b'/');
    BASE64.decode(clean).unwrap_or_default()
}

/// Whether `_` stands for a space: in encoded words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Kept,
    Underscores,
}

/// Quoted-printable (RFC 2045 §6.7) and the Q encoding.
fn quoted(text: &[u8], mark: u8, spaces: Spaces) -> Vec<u8> {
    let hex = |b: &u8| {
        char::from(*b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first == b'_' && spaces == Spaces::Underscores {
            decoded.push(b' ');
        } else if first != mark {
            decoded.push(first);
        } else if let Some(next) = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")) {
            rest = next;
        } else if let Some((pair, next)) = rest.split_at_checked(2)
            && let [high, low] = pair
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            decoded.push(high << 4 | low);
            rest = next;
        } else {
            decoded.push(first);
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        for (text, expected) in [
            ("Plain Text", "plain text"),
            ("=?utf-8?Q?J=C3=BCrg_X?=", "jürg x"),
            ("a =?UTF-8*de?b?w7xi?= =?utf-8?q?er?= b", "a über b"),
            ("=?iso-8859-1?q?=FC?=", "ü"),
            ("=?x?y?z?=", "=?x?y?z?="),
            ("=?utf-8?q?open", "=?utf-8?q?open"),
            ("=?", "=?"),
            ("fol\r\n ded", "fol ded"),
        ] {
            assert_eq!(header(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn bodies() {
        let text = |raw: &str| body(raw.as_bytes(), &mail::parse(raw.as_bytes()));
        assert_eq!(text("\r\nHello"), "hello\n");
        assert_eq!(
            text("Content-Transfer-Encoding: base64\r\n\r\nw5\r\nw=\r\n"),
            "ü\n"
        );
        assert_eq!(
            text("Content-Transfer-Encoding: Quoted-Printable\r\n\r\na=\r\nb=3Dc=ZZ="),
            "ab=c=zz=\n"
        );
        assert_eq!(text("Content-Type: image/png\r\n\r\nabc"), "");
    }
}
