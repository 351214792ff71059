//! Takes a message apart: header and body, fields, MIME parts (RFC 5322 §2.2, RFC 2045, RFC 2046).
//! Everything is a range of the message's own octets. Mail is whatever somebody appended: any
//! octets have a reading, and depth, parts and header length are bounded.

use std::ops::Range;

/// Longest header that is read as one; what is behind belongs to the body.
pub(super) const HEADER: usize = 256 * 1024;
/// Deepest nesting of parts; deeper ones are not looked into.
const DEPTH: usize = 16;
/// Parts of a message; further ones are left out.
const PARTS: usize = 500;
/// Parameters of a field; further ones are left out.
const PARAMETERS: usize = 50;

/// A message, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// With the empty line that ends it.
    pub(super) header: Range<usize>,
    pub(super) body: Range<usize>,
    pub(super) content_type: ContentType,
    pub(super) content: Content,
}

/// What is in a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Something that has no parts.
    Leaf,
    /// `multipart/*`; never empty.
    Parts(Vec<Part>),
    /// `message/rfc822`
    Message(Box<Part>),
}

/// A Content-Type (RFC 2045 §5), or another field of that form. Upper-cased type and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContentType {
    pub(super) major: String,
    pub(super) minor: String,
    pub(super) parameters: Vec<(String, Vec<u8>)>,
}

impl ContentType {
    /// A type without parameters.
    fn plain(major: &str, minor: &str) -> Self {
        ContentType {
            major: major.to_owned(),
            minor: minor.to_owned(),
            parameters: Vec::new(),
        }
    }

    /// A parameter's value.
    pub(super) fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_slice())
    }
}

/// A message's parts.
pub(super) fn parse(raw: &[u8]) -> Part {
    let mut left = PARTS;
    part(raw, 0..raw.len(), ("TEXT", "PLAIN"), DEPTH, &mut left)
}

/// Where the header ends, its empty line included: the start of the body.
pub(super) fn header_end(raw: &[u8]) -> usize {
    let mut end = 0;
    for line in lines(raw) {
        if end + line.len() > HEADER {
            break;
        }
        end += line.len();
        if line == b"\r\n" || line == b"\n" {
            break;
        }
    }
    end
}

/// A header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Empty for a line that is no field.
    pub(super) name: &'a [u8],
    /// Still folded.
    pub(super) value: &'a [u8],
    /// All of it, with its line ends.
    pub(super) raw: &'a [u8],
}

/// The fields of a header, in order; the empty line is not one.
pub(super) fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut length = 0;
        for line in lines(rest) {
            let continues = matches!(line.first(), Some(b' ' | b'\t'));
            if (length > 0 && !continues) || line == b"\r\n" || line == b"\n" {
                break;
            }
            length += line.len();
        }
        let (raw, behind) = rest.split_at_checked(length)?;
        rest = behind;
        if raw.is_empty() {
            return None;
        }
        let colon = memchr::memchr(b':', raw);
        let (name, value) = match colon.and_then(|colon| raw.split_at_checked(colon)) {
            Some((name, value)) => (name.trim_ascii_end(), value.get(1..).unwrap_or_default()),
            None => (&b""[..], raw),
        };
        Some(Field { name, value, raw })
    })
}

/// The first field of that name, unfolded.
pub(super) fn field(header: &[u8], name: &str) -> Option<Vec<u8>> {
    let named = |field: &Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
    fields(header).find(named).map(|field| unfold(field.value))
}

/// A value without its line ends and the space around it (RFC 5322 §2.2.3).
pub(super) fn unfold(value: &[u8]) -> Vec<u8> {
    let text = value.trim_ascii().iter().copied();
    text.filter(|b| !b"\r\n\0".contains(b)).collect()
}

/// The lines, each with its end.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, behind) = rest.split_at_checked(length)?;
        rest = behind;
        (!line.is_empty()).then_some(line)
    })
}

/// A value of the form `TYPE/SUBTYPE; name=value` or `word; name=value`; the latter has an empty
/// `minor`.
pub(super) fn structured(value: &[u8]) -> Option<ContentType> {
    let mut words = Words(value);
    let major = String::from_utf8(words.token()).ok()?.to_ascii_uppercase();
    let mut minor = String::new();
    if words.octet(b'/') {
        minor = String::from_utf8(words.token()).ok()?.to_ascii_uppercase();
    }
    let mut parameters = Vec::new();
    while words.octet(b';') && parameters.len() < PARAMETERS {
        let name = String::from_utf8_lossy(&words.token()).to_ascii_uppercase();
        if words.octet(b'=') && !name.is_empty() {
            parameters.push((name, words.value()));
        }
    }
    (!major.is_empty()).then_some(ContentType {
        major,
        minor,
        parameters,
    })
}

fn part(
    raw: &[u8],
    range: Range<usize>,
    default: (&str, &str),
    depth: usize,
    left: &mut usize,
) -> Part {
    *left = left.saturating_sub(1);
    let text = raw.get(range.clone()).unwrap_or_default();
    let middle = range.start + header_end(text);
    let header = raw.get(range.start..middle).unwrap_or_default();
    let body = middle..range.end;
    let mut content_type = field(header, "Content-Type")
        .and_then(|value| structured(&value))
        .filter(|found| !found.minor.is_empty())
        .unwrap_or_else(|| ContentType::plain(default.0, default.1));
    let is = |major: &str| content_type.major == major;
    let content = if depth > 0 && is("MULTIPART") {
        match multipart(raw, body.clone(), &content_type, depth, left) {
            parts if parts.is_empty() => Content::Leaf,
            parts => Content::Parts(parts),
        }
    } else if depth > 0 && *left > 0 && is("MESSAGE") && content_type.minor == "RFC822" {
        let inner = part(raw, body.clone(), ("TEXT", "PLAIN"), depth - 1, left);
        Content::Message(Box::new(inner))
    } else {
        Content::Leaf
    };
    // A leaf must not be listed under a type whose BODYSTRUCTURE has another form.
    let other_form = is("MULTIPART") || (is("MESSAGE") && content_type.minor == "RFC822");
    if content == Content::Leaf && other_form {
        content_type = ContentType::plain("APPLICATION", "OCTET-STREAM");
    }
    Part {
        header: range.start..middle,
        body,
        content_type,
        content,
    }
}

/// The parts between the boundaries (RFC 2046 §5.1.1).
fn multipart(
    raw: &[u8],
    body: Range<usize>,
    content_type: &ContentType,
    depth: usize,
    left: &mut usize,
) -> Vec<Part> {
    let Some(boundary) = content_type.parameter("BOUNDARY").filter(|b| !b.is_empty()) else {
        return Vec::new();
    };
    let default = match content_type.minor.as_str() {
        "DIGEST" => ("MESSAGE", "RFC822"),
        _ => ("TEXT", "PLAIN"),
    };
    let mut parts = Vec::new();
    let mut from = None;
    let mut at = body.start;
    let mut closed = false;
    for line in lines(raw.get(body.clone()).unwrap_or_default()) {
        let start = at;
        at += line.len();
        let Some(delimiter) = delimiter(line, boundary) else {
            continue;
        };
        if let Some(from) = from.take().filter(|_| *left > 0) {
            // The line end before a delimiter belongs to the delimiter.
            let content = raw.get(from..start).unwrap_or_default();
            let content = content.strip_suffix(b"\n").unwrap_or(content);
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            parts.push(part(
                raw,
                from..from + content.len(),
                default,
                depth - 1,
                left,
            ));
        }
        from = Some(at);
        if delimiter == Delimiter::Last {
            closed = true;
            break;
        }
    }
    // A message that was cut off: the last part goes to its end.
    if let Some(from) = from.filter(|_| !closed && *left > 0) {
        parts.push(part(raw, from..body.end, default, depth - 1, left));
    }
    parts
}

#[derive(PartialEq, Eq)]
enum Delimiter {
    Next,
    Last,
}

fn delimiter(line: &[u8], boundary: &[u8]) -> Option<Delimiter> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    match rest.strip_prefix(b"--") {
        Some(_) => Some(Delimiter::Last),
        None => rest.trim_ascii().is_empty().then_some(Delimiter::Next),
    }
}

/// The words of a structured field.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn octet(&mut self, octet: u8) -> bool {
        self.skip();
        match self.0.split_first() {
            Some((&first, rest)) if first == octet => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// A token (RFC 2045 §5.1), maybe an empty one.
    fn token(&mut self) -> Vec<u8> {
        self.skip();
        let token = |&&b: &&u8| b > b' ' && b != 0x7f && !b"()<>@,;:\\\"/[]?=".contains(&b);
        let length = self.0.iter().take_while(token).count();
        let (token, rest) = self.0.split_at_checked(length).unwrap_or_default();
        self.0 = rest;
        token.to_vec()
    }

    /// A parameter's value: quoted, or everything up to the next `;` or space, since many write
    /// `/` and `=` without quotes.
    fn value(&mut self) -> Vec<u8> {
        if !self.octet(b'"') {
            let plain = |&&b: &&u8| !b"; \t(".contains(&b);
            let length = self.0.iter().take_while(plain).count();
            let (value, rest) = self.0.split_at_checked(length).unwrap_or_default();
            self.0 = rest;
            return value.to_vec();
        }
        let mut value = Vec::new();
        let mut octets = self.0.iter();
        while let Some(&b) = octets.next() {
            match b {
                b'"' => break,
                b'\\' => value.extend(octets.next()),
                b => value.push(b),
            }
        }
        self.0 = octets.as_slice();
        value
    }

    /// Skips space and comments.
    fn skip(&mut self) {
        let mut depth = 0usize;
        let mut rest = self.0.iter();
        loop {
            self.0 = rest.as_slice();
            match rest.next() {
                Some(b'(') => depth += 1,
                Some(b')') if depth > 0 => depth -= 1,
                Some(b'\\') if depth > 0 => drop(rest.next()),
                Some(b' ' | b'\t' | b'\r' | b'\n') => {}
                Some(_) if depth > 0 => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
