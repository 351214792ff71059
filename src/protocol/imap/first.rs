//! The first word of a response, behind its `*` or its tag: a status, or data (RFC 9051 §7).
//!
//! Whoever skips literals asks here where one may stand: in data only. The text of a status response,
//! untagged or tagged, holds none, nor does that of a `+`: it may end in `{5}` and mean nothing by it
//! (RFC 9051 §9, `resp-text`).

/// That word, read octet by octet, since what is relayed comes in any pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum First {
    /// Not begun.
    #[default]
    Nothing,
    /// What there is of it, in capitals, the last octet lowest.
    Part(u64),
    Ok,
    No,
    Bad,
    /// BYE or PREAUTH, which no tag may have before it.
    Untagged,
    /// Any other word.
    Data,
}

impl First {
    /// With one more octet.
    pub(super) fn read(self, octet: u8) -> First {
        let read = match (self, octet) {
            (First::Nothing, b' ' | b'\r' | b'\n') => return First::Nothing,
            (First::Part(word), b' ' | b'\r' | b'\n') => return First::of(word),
            (First::Nothing, _) => 0,
            (First::Part(word), _) => word,
            (decided, _) => return decided,
        };
        // No status has so many octets.
        if read >> 56 > 0 {
            return First::Data;
        }
        First::Part(read << 8 | u64::from(octet.to_ascii_uppercase()))
    }

    fn of(word: u64) -> First {
        let is = |status: &[u8]| {
            let octets = status.iter();
            octets.fold(0, |word, &octet| word << 8 | u64::from(octet)) == word
        };
        if is(b"OK") {
            First::Ok
        } else if is(b"NO") {
            First::No
        } else if is(b"BAD") {
            First::Bad
        } else if is(b"BYE") || is(b"PREAUTH") {
            First::Untagged
        } else {
            First::Data
        }
    }

    /// Whether it is not at its end.
    pub(super) fn is_open(self) -> bool {
        matches!(self, First::Nothing | First::Part(_))
    }

    /// Whether it begins a status response.
    pub(super) fn is_status(self) -> bool {
        matches!(self, First::Ok | First::No | First::Bad | First::Untagged)
    }
}

/// Whether the end of a response's line may announce a literal, as its beginning tells.
pub(super) fn may_hold_literals(response: &[u8]) -> bool {
    let Some(rest) = response.strip_prefix(b"* ") else {
        return false;
    };
    let mut first = First::Nothing;
    for &octet in rest.iter().chain(b" ") {
        first = first.read(octet);
        if !first.is_open() {
            break;
        }
    }
    first == First::Data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_stand_in_data() {
        for data in [
            "* LIST () \"/\" {5}",
            "* 1 FETCH (BODY[] {5}",
            "* STATUS {5}",
            "* SEARCH {5}",
            "* ESEARCH {5}",
            "* NAMESPACE {5}",
            "* ID (\"a\" {5}",
            "* METADATA {5}",
            "* ACL {5}",
            "* okay {5}",
            "* PREAUTHS {5}",
            "* PREAUTHENTICATED {5}",
            "* BYEBYE {5}",
            "* OK\0 {5}",
            "*  LIST {5}",
        ] {
            assert!(may_hold_literals(data.as_bytes()), "{data}");
        }
        for other in [
            "* OK [CAPABILITY X] {5}",
            "* ok {5}",
            "*  OK {5}",
            "* OK",
            "* NO {5}",
            "* BAD {5}",
            "* BYE {5}",
            "* preAUTH {5}",
            "* ",
            "*",
            "*LIST {5}",
            "+ {5}",
            "+ OK {5}",
            "a OK {5}",
            "a NO {5}",
            "a FETCH {5}",
            "{5}",
            "",
        ] {
            assert!(!may_hold_literals(other.as_bytes()), "{other}");
        }
    }
}
