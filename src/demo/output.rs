//! What is to be written to the client. Small things are gathered, mail is passed by reference: a
//! FETCH of a large message copies nothing.

use std::fmt;

use bytes::Bytes;

/// From this size on a piece of mail is passed on by reference.
const WORTH_SHARING: usize = 4 * 1024;

/// Octets due to the client, in order.
#[derive(Default)]
pub(super) struct Output {
    ready: Vec<Bytes>,
    tail: Vec<u8>,
    octets: usize,
}

impl Output {
    /// How many octets wait.
    pub(super) fn len(&self) -> usize {
        self.octets
    }

    /// Hands everything out.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.seal();
        self.octets = 0;
        std::mem::take(&mut self.ready)
    }

    /// Octets as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.octets += bytes.len();
        self.tail.extend_from_slice(bytes);
    }

    /// A whole line; the CRLF is added.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _ = fmt::Write::write_fmt(self, line);
        self.bytes(b"\r\n");
    }

    /// `literal` (RFC 3501 §9).
    pub(super) fn literal(&mut self, content: Bytes) {
        let _ = fmt::Write::write_fmt(self, format_args!("{{{}}}\r\n", content.len()));
        if content.len() < WORTH_SHARING {
            return self.bytes(&content);
        }
        self.seal();
        self.octets += content.len();
        self.ready.push(content);
    }

    /// `nstring`: quoted where that can be, else a literal.
    pub(super) fn nstring(&mut self, content: Option<&[u8]>) {
        match content {
            None => self.bytes(b"NIL"),
            Some(content) => self.string(content),
        }
    }

    /// `string`: quoted where that can be, else a literal.
    pub(super) fn string(&mut self, content: &[u8]) {
        let plain = |&b: &u8| (b' '..0x7f).contains(&b);
        // Clients with small line buffers get long strings as literals.
        if content.len() > 1000 || !content.iter().all(plain) {
            return self.literal(Bytes::copy_from_slice(content));
        }
        self.bytes(b"\"");
        for &b in content {
            if b == b'"' || b == b'\\' {
                self.bytes(b"\\");
            }
            self.bytes(&[b]);
        }
        self.bytes(b"\"");
    }

    /// `astring`: an atom where that can be.
    pub(super) fn astring(&mut self, content: &str) {
        let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\".contains(&b);
        match !content.is_empty() && content.bytes().all(atom) {
            true => self.bytes(content.as_bytes()),
            false => self.string(content.as_bytes()),
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.ready.push(std::mem::take(&mut self.tail).into());
        }
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Output)) -> Vec<u8> {
        let mut out = Output::default();
        write(&mut out);
        let octets = out.len();
        let all = out.take().concat();
        assert_eq!((all.len(), out.len()), (octets, 0));
        all
    }

    #[test]
    fn strings() {
        assert_eq!(written(|o| o.nstring(None)), b"NIL");
        assert_eq!(written(|o| o.string(b"")), b"\"\"");
        assert_eq!(written(|o| o.string(b"a\"b\\c")), b"\"a\\\"b\\\\c\"");
        assert_eq!(written(|o| o.string("é".as_bytes())), "{2}\r\né".as_bytes());
        assert_eq!(written(|o| o.string(b"a\nb")), b"{3}\r\na\nb");
        assert_eq!(written(|o| o.astring("INBOX")), b"INBOX");
        assert_eq!(written(|o| o.astring("a b")), b"\"a b\"");
        assert_eq!(written(|o| o.astring("")), b"\"\"");
    }

    #[test]
    fn large_mail_is_shared_and_stays_in_order() {
        let mail = Bytes::from(vec![b'x'; WORTH_SHARING]);
        let mut out = Output::default();
        out.bytes(b"before ");
        out.literal(mail.clone());
        out.bytes(b" after");
        let pieces = out.take();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1].as_ptr(), mail.as_ptr());
        assert_eq!(pieces[2], " after");
    }
}
