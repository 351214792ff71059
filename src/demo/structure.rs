//! ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 §7.4.2), and the part a section number names
//! (§6.4.5).

use super::address;
use super::mail::{self, Content, Part};
use super::output::Output;

/// With the extension data of BODYSTRUCTURE, or without as in BODY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Body,
    BodyStructure,
}

/// Writes `envelope`.
pub(super) fn envelope(header: &[u8], out: &mut Output) {
    let text = |out: &mut Output, name| out.nstring(mail::field(header, name).as_deref());
    out.bytes(b"(");
    text(out, "Date");
    out.bytes(b" ");
    text(out, "Subject");
    for name in ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"] {
        out.bytes(b" ");
        let value = mail::field(header, name).filter(|value| !value.is_empty());
        // RFC 3501 §7.4.2: no Sender or Reply-To means the From.
        let value = match name {
            "Sender" | "Reply-To" => value.or_else(|| mail::field(header, "From")),
            _ => value,
        };
        addresses(value.as_deref().unwrap_or_default(), out);
    }
    out.bytes(b" ");
    text(out, "In-Reply-To");
    out.bytes(b" ");
    text(out, "Message-ID");
    out.bytes(b")");
}

/// Writes `body`.
pub(super) fn body(raw: &[u8], part: &Part, form: Form, out: &mut Output) {
    let header = raw.get(part.header.clone()).unwrap_or_default();
    let kind = &part.content_type;
    out.bytes(b"(");
    if let Content::Parts(parts) = &part.content {
        for part in parts {
            body(raw, part, form, out);
        }
        out.bytes(b" ");
        out.string(kind.minor.as_bytes());
        if form == Form::BodyStructure {
            out.bytes(b" ");
            parameters(&kind.parameters, out);
            extension(header, out);
        }
        return out.bytes(b")");
    }
    out.string(kind.major.as_bytes());
    out.bytes(b" ");
    out.string(kind.minor.as_bytes());
    out.bytes(b" ");
    match kind.parameters.is_empty() && kind.major == "TEXT" {
        // The charset that is meant where none is named (RFC 2045 §5.2).
        true => out.bytes(b"(\"CHARSET\" \"US-ASCII\")"),
        false => parameters(&kind.parameters, out),
    }
    for name in ["Content-ID", "Content-Description"] {
        out.bytes(b" ");
        out.nstring(mail::field(header, name).as_deref());
    }
    let encoding = mail::field(header, "Content-Transfer-Encoding");
    let encoding = encoding.unwrap_or_else(|| b"7BIT".to_vec());
    out.bytes(b" ");
    out.string(&encoding.to_ascii_uppercase());
    let content = raw.get(part.body.clone()).unwrap_or_default();
    number(content.len(), out);
    if let Content::Message(message) = &part.content {
        let header = raw.get(message.header.clone()).unwrap_or_default();
        out.bytes(b" ");
        envelope(header, out);
        out.bytes(b" ");
        body(raw, message, form, out);
    }
    if kind.major == "TEXT" || matches!(part.content, Content::Message(_)) {
        number(memchr::memchr_iter(b'\n', content).count(), out);
    }
    if form == Form::BodyStructure {
        out.bytes(b" ");
        out.nstring(mail::field(header, "Content-MD5").as_deref());
        extension(header, out);
    }
    out.bytes(b")");
}

/// The part a section names: `1.2`. `None` if there is none.
pub(super) fn find<'a>(message: &'a Part, numbers: &[u32]) -> Option<&'a Part> {
    let mut holder = Some(message);
    let mut found = message;
    for &number in numbers {
        found = match (&holder?.content, number) {
            (Content::Parts(parts), number) => {
                let index = usize::try_from(number).ok()?.checked_sub(1)?;
                parts.get(index)?
            }
            // A message that has no parts is its own part 1 (RFC 3501 §6.4.5).
            (_, 1) => holder?,
            _ => return None,
        };
        holder = match &found.content {
            Content::Message(message) => Some(message),
            Content::Parts(_) => Some(found),
            Content::Leaf => None,
        };
    }
    Some(found)
}

fn addresses(value: &[u8], out: &mut Output) {
    let found = address::addresses(value);
    if found.is_empty() {
        return out.bytes(b"NIL");
    }
    out.bytes(b"(");
    for address in found {
        out.bytes(b"(");
        out.nstring(address.name.as_deref());
        out.bytes(b" NIL ");
        out.nstring(address.mailbox.as_deref());
        out.bytes(b" ");
        out.nstring(address.host.as_deref());
        out.bytes(b")");
    }
    out.bytes(b")");
}

/// `body-fld-param`
fn parameters(parameters: &[(String, Vec<u8>)], out: &mut Output) {
    if parameters.is_empty() {
        return out.bytes(b"NIL");
    }
    let mut before: &[u8] = b"(";
    for (name, value) in parameters {
        out.bytes(before);
        out.string(name.as_bytes());
        out.bytes(b" ");
        out.string(value);
        before = b" ";
    }
    out.bytes(b")");
}

/// Disposition, language and location: the extension data every part has.
fn extension(header: &[u8], out: &mut Output) {
    let disposition = mail::field(header, "Content-Disposition");
    match disposition.and_then(|value| mail::structured(&value)) {
        None => out.bytes(b" NIL"),
        Some(disposition) => {
            out.bytes(b" (");
            out.string(disposition.major.as_bytes());
            out.bytes(b" ");
            parameters(&disposition.parameters, out);
            out.bytes(b")");
        }
    }
    for name in ["Content-Language", "Content-Location"] {
        out.bytes(b" ");
        out.nstring(mail::field(header, name).as_deref());
    }
}

fn number(number: usize, out: &mut Output) {
    out.bytes(format!(" {number}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &str = "From: a@b\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n\
        --o\r\nContent-Type: text/plain\r\n\r\none\r\n\
        --o\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: inner\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n\
        --i\r\n\r\nplain\r\n--i\r\nContent-Type: text/html\r\n\r\nhtml\r\n--i--\r\n\
        --o--\r\n";

    #[test]
    fn sections() {
        let message = mail::parse(NESTED.as_bytes());
        for (numbers, expected) in [
            (&[1][..], Some("one")),
            (&[2, 1], Some("plain")),
            (&[2, 2], Some("html")),
            (&[1, 1], None),
            (&[3], None),
            (&[0], None),
            (&[2, 1, 1], None),
        ] {
            let found = find(&message, numbers).map(|part| &NESTED[part.body.clone()]);
            assert_eq!(found, expected, "{numbers:?}");
        }
        let single = mail::parse(b"\r\nx");
        assert!(find(&single, &[1]).is_some());
        assert!(find(&single, &[2]).is_none() && find(&single, &[1, 1]).is_none());
    }

    #[test]
    fn structures() {
        let written = |form| {
            let mut out = Output::default();
            body(
                NESTED.as_bytes(),
                &mail::parse(NESTED.as_bytes()),
                form,
                &mut out,
            );
            String::from_utf8(out.take().concat()).unwrap()
        };
        assert_eq!(
            written(Form::Body),
            "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3 0)\
             (\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 124 \
             (NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL) \
             ((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 5 0)\
             (\"TEXT\" \"HTML\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 4 0) \"ALTERNATIVE\") 10) \
             \"MIXED\")"
        );
        assert!(
            written(Form::BodyStructure).ends_with("\"MIXED\" (\"BOUNDARY\" \"o\") NIL NIL NIL)")
        );
    }

    #[test]
    fn envelopes() {
        let header = b"From: Ann <a@b>\r\nTo: c@d\r\nSubject: x \"y\"\r\nMessage-Id: <1@b>\r\n\r\n";
        let mut out = Output::default();
        envelope(header, &mut out);
        let ann = "((\"Ann\" NIL \"a\" \"b\"))";
        let expected = format!(
            "(NIL \"x \\\"y\\\"\" {ann} {ann} {ann} ((NIL NIL \"c\" \"d\")) NIL NIL NIL \"<1@b>\")"
        );
        assert_eq!(out.take().concat(), expected.as_bytes());
    }
}
