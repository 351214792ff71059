//! What is known of a mailbox and its host: told by SELECT (RFC 9051 §6.3.2) and CAPABILITY, and
//! changed by whatever the host says later.

/// What the host told about the mailbox and itself.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) can: Option<Can>,
    pub(super) selected: Selected,
    pub(super) exists: u32,
    pub(super) uid_validity: Option<u64>,
    pub(super) uid_next: Option<u64>,
    /// HIGHESTMODSEQ (RFC 7162 §3.1.2.1), as it was told last.
    pub(super) mod_seq: Option<u64>,
    pub(super) uid_sticky: Sticky,
    pub(super) read_only: bool,
    /// PERMANENTFLAGS were told, and whether \Deleted is one of them.
    pub(super) permanent_deleted: Option<bool>,
}

/// Whether the mailbox is selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Selected {
    #[default]
    No,
    Asked,
    Yes,
    Refused,
}

/// Whether UIDs persist (RFC 4315 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sticky {
    #[default]
    Yes,
    No,
}

/// Whether there is a place for deleted mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trash {
    Unasked,
    None,
    /// Its name as the host sent it.
    At(Vec<u8>),
}

/// What a host can do, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Can {
    pub(super) uid_plus: bool,
    pub(super) moves: bool,
    pub(super) esearch: bool,
    pub(super) qresync: bool,
}

impl Can {
    pub(super) fn of<'a>(words: impl Iterator<Item = &'a [u8]>) -> Can {
        let mut can = Can::default();
        for word in words {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("IMAP4rev2") {
                (can.uid_plus, can.moves, can.esearch) = (true, true, true);
            }
            can.uid_plus |= is("UIDPLUS");
            can.moves |= is("MOVE");
            can.esearch |= is("ESEARCH");
            can.qresync |= is("QRESYNC");
        }
        can
    }
}
