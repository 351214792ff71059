//! Names of mailboxes, as every host takes them: quoted, and in modified UTF-7 (RFC 3501 §5.1.3),
//! which IMAP4rev2 hosts read too as long as UTF8 was not enabled.

/// A mailbox's name as a quoted string in modified UTF-7 (RFC 3501 §5.1.3), which every host takes.
pub(super) fn quoted(name: &str) -> Vec<u8> {
    let mut out = vec![b'"'];
    let mut shifted: Vec<u8> = Vec::new();
    let end_shift = |shifted: &mut Vec<u8>, out: &mut Vec<u8>| {
        if !shifted.is_empty() {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&shifted);
            out.push(b'&');
            out.extend(text.bytes().map(|b| if b == b'/' { b',' } else { b }));
            out.push(b'-');
            shifted.clear();
        }
    };
    for c in name.chars() {
        if !c.is_ascii() {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shifted.extend_from_slice(&unit.to_be_bytes());
            }
            continue;
        }
        end_shift(&mut shifted, &mut out);
        match c {
            '&' => out.extend_from_slice(b"&-"),
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            c if c.is_ascii_control() => {}
            c => out.push(c as u8),
        }
    }
    end_shift(&mut shifted, &mut out);
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_so_that_every_host_takes_them() {
        for (name, want) in [
            ("INBOX", "\"INBOX\""),
            ("a \"b\\c\" & d", "\"a \\\"b\\\\c\\\" &- d\""),
            ("Entwürfe", "\"Entw&APw-rfe\""),
            ("台北", "\"&U,BTFw-\""),
            ("a\r\nb", "\"ab\""),
        ] {
            assert_eq!(String::from_utf8(quoted(name)).unwrap(), want);
        }
    }
}
