//! Settings of POP3 served from IMAP: `pop3:` of proxy.yaml as meant.

use super::unique_id::Template;

/// How a maildrop is made from a mailbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The mailbox a maildrop is.
    pub mailbox: String,
    /// How unique ids look.
    pub uidl: UidlFormat,
    /// When retrieved messages are marked \Seen.
    pub mark_seen: MarkSeen,
    /// What QUIT does to DELEd messages.
    pub delete: Delete,
    /// Whether messages that carry \Deleted already are left out.
    pub hide_deleted: HideDeleted,
    /// What LIST and STAT announce.
    pub sizes: Sizes,
    /// How far to read ahead while a client retrieves in order, in octets; 0: not at all.
    pub prefetch: u64,
    /// One POP3 session per maildrop; the second gets `[IN-USE]`.
    pub lock: Lock,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mailbox: "INBOX".into(),
            uidl: UidlFormat::Dovecot,
            mark_seen: MarkSeen::Quit,
            delete: Delete::Expunge,
            hide_deleted: HideDeleted::No,
            sizes: Sizes::Learn,
            prefetch: 4 * 1024 * 1024,
            lock: Lock::No,
        }
    }
}

/// `uidl`: a preset or a template. `V` is UIDVALIDITY, `U` the UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UidlFormat {
    /// `dovecot`: 8 hex digits of U, 8 of V.
    Dovecot,
    /// `dovecot-old`, `cyrus`: `V.U`.
    Cyrus,
    /// `uidonly`: `U`.
    UidOnly,
    /// `courier`: `UIDU-V`.
    Courier,
    /// `uw`: 8 hex digits of V, 8 of U.
    Uw,
    /// A template over `{uid}`, `{uidvalidity}` (each with `:hex`, `:hex8`) and `{emailid}`, checked
    /// when it was made.
    Template(Template),
}

/// `mark_seen`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkSeen {
    /// `quit`: messages retrieved whole, when the session ends.
    Quit,
    /// `never`
    Never,
}

/// `delete`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete {
    /// `expunge`
    Expunge,
    /// `trash`: moved to the \Trash mailbox.
    Trash,
    /// `flag`: only \Deleted.
    Flag,
}

/// `hide_deleted`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HideDeleted {
    /// `true`
    Yes,
    /// `false`
    No,
}

/// `sizes`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// `trust`: RFC822.SIZE.
    Trust,
    /// `learn`: as trust, and from the next session on the size that was really sent.
    Learn,
    /// `exact`: measured first.
    Exact,
}

/// `lock`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// `true`
    Yes,
    /// `false`
    No,
}
