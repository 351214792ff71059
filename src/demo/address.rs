//! Address lists of header fields (RFC 5322 §3.4) as ENVELOPE wants them (RFC 3501 §7.4.2): name,
//! mailbox, host, with marks around groups. Encoded words stay encoded.

/// Addresses of a field; further ones are left out.
const MOST: usize = 1000;

/// An address, or a group's start (no host) or end (nothing at all).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) name: Option<Vec<u8>>,
    pub(super) mailbox: Option<Vec<u8>>,
    pub(super) host: Option<Vec<u8>>,
}

/// The addresses of an unfolded field.
pub(super) fn addresses(value: &[u8]) -> Vec<Address> {
    let mut found = Vec::new();
    let mut next = Gathered::default();
    let mut octets = value.iter().copied();
    let mut group = Group::Outside;
    while let Some(b) = octets.next() {
        if found.len() >= MOST {
            break;
        }
        match b {
            b'"' => quoted(&mut octets, next.target()),
            b'(' => comment(&mut octets, &mut next.comment),
            // A route has `,` and `:` of its own.
            b',' | b':' | b';' if next.in_brackets() => next.target().push(b),
            b'<' if next.inside.is_none() => next.inside = Some(Vec::new()),
            b'>' => next.closed = true,
            b',' => found.extend(next.finish()),
            b':' if group == Group::Outside => {
                group = Group::Inside;
                found.push(Address {
                    mailbox: Some(tidy(&next.finish_name())),
                    ..Address::default()
                });
            }
            b';' if group == Group::Inside => {
                group = Group::Outside;
                found.extend(next.finish());
                found.push(Address::default());
            }
            b => next.target().push(b),
        }
    }
    found.extend(next.finish());
    if group == Group::Inside {
        found.push(Address::default());
    }
    found
}

#[derive(PartialEq, Eq)]
enum Group {
    Outside,
    Inside,
}

/// An address that is being read.
#[derive(Default)]
struct Gathered {
    /// Before `<`, or all of it.
    words: Vec<u8>,
    /// Between `<` and `>`.
    inside: Option<Vec<u8>>,
    closed: bool,
    comment: Vec<u8>,
}

impl Gathered {
    fn target(&mut self) -> &mut Vec<u8> {
        match &mut self.inside {
            Some(inside) if !self.closed => inside,
            _ => &mut self.words,
        }
    }

    fn in_brackets(&self) -> bool {
        self.inside.is_some() && !self.closed
    }

    fn finish_name(&mut self) -> Vec<u8> {
        std::mem::take(self).words
    }

    fn finish(&mut self) -> Option<Address> {
        let Gathered {
            words,
            inside,
            comment,
            ..
        } = std::mem::take(self);
        let (name, spec) = match inside {
            Some(inside) => (tidy(&words), inside),
            None if words.trim_ascii().is_empty() => return None,
            None => (tidy(&comment), words),
        };
        let spec = tidy(&spec);
        // A source route (RFC 5322 §4.4) is dropped.
        let spec = match spec.first() {
            Some(b'@') => spec.rsplit(|&b| b == b':').next().unwrap_or_default(),
            _ => &spec,
        };
        let at = spec.iter().rposition(|&b| b == b'@');
        let (mailbox, host) = match at.and_then(|at| spec.split_at_checked(at)) {
            Some((mailbox, host)) => (mailbox, host.get(1..).unwrap_or_default()),
            // A host of NIL would make it a group: an empty one says that there is none.
            None => (spec, &b""[..]),
        };
        Some(Address {
            name: (!name.is_empty()).then_some(name),
            mailbox: Some(mailbox.to_vec()),
            host: Some(host.to_vec()),
        })
    }
}

/// The inside of a quoted string, without its escapes.
fn quoted(octets: &mut impl Iterator<Item = u8>, into: &mut Vec<u8>) {
    while let Some(b) = octets.next() {
        match b {
            b'"' => return,
            b'\\' => into.extend(octets.next()),
            b => into.push(b),
        }
    }
}

fn comment(octets: &mut impl Iterator<Item = u8>, into: &mut Vec<u8>) {
    let mut depth = 1usize;
    while let Some(b) = octets.next() {
        match b {
            b'\\' => into.extend(octets.next()),
            b')' if depth == 1 => return,
            b => {
                match b {
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => {}
                }
                into.push(b);
            }
        }
    }
}

/// Words parted by single spaces.
fn tidy(text: &[u8]) -> Vec<u8> {
    let words = text.split(|b| b.is_ascii_whitespace());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> String {
        let show = |part: &Option<Vec<u8>>| match part {
            Some(part) => String::from_utf8_lossy(part).into_owned(),
            None => "NIL".to_owned(),
        };
        let all = addresses(value.as_bytes());
        let all = all
            .iter()
            .map(|a| [show(&a.name), show(&a.mailbox), show(&a.host)].join("|"));
        all.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn tables() {
        for (value, expected) in [
            ("", ""),
            (" , ,", ""),
            ("a@b.example", "NIL|a|b.example"),
            ("<a@b.example>", "NIL|a|b.example"),
            ("Ann Lee <a@b>, c@d", "Ann Lee|a|b, NIL|c|d"),
            ("\"Lee, Ann\" <a@b>", "Lee, Ann|a|b"),
            ("\"x\\\"y\" <a@b>", "x\"y|a|b"),
            ("a@b (Ann (A.) Lee)", "Ann (A.) Lee|a|b"),
            ("<@x,@y:a@b>", "NIL|a|b"),
            (
                "team: a@b, c@d;, e@f",
                "NIL|team|NIL, NIL|a|b, NIL|c|d, NIL|NIL|NIL, NIL|e|f",
            ),
            (
                "undisclosed-recipients:;",
                "NIL|undisclosed-recipients|NIL, NIL|NIL|NIL",
            ),
            ("open: a@b", "NIL|open|NIL, NIL|a|b, NIL|NIL|NIL"),
            ("root", "NIL|root|"),
            ("=?utf-8?q?J=C3=BCrg?= <j@b>", "=?utf-8?q?J=C3=BCrg?=|j|b"),
            ("\"open <a@b>", "NIL|open <a|b>"),
            ("((((", ""),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }
}
