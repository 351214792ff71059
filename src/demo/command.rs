//! The commands (RFC 3501 §6 and the extensions in `mod`'s list) as values that cannot be wrong;
//! `grammar` reads them. Passwords are in here: nothing of this is ever printed.

use bytes::Bytes;

use super::date::DateTime;
use super::fetch::Item;
use super::parse::FlagName;
use super::search::Search;
use super::set::Set;
use super::view::{Access, By};

/// A command without its tag.
pub(super) enum Command {
    Capability,
    Noop,
    Check,
    Logout,
    Id,
    Login {
        user: Bytes,
        password: Bytes,
    },
    Authenticate {
        mechanism: String,
        initial: Option<Vec<u8>>,
    },
    Namespace,
    Enable,
    List(List),
    Lsub {
        reference: String,
        pattern: String,
    },
    Create(String),
    Delete(String),
    Rename {
        from: String,
        to: String,
    },
    Subscribe(String),
    Unsubscribe(String),
    Select(String, Access),
    Status(String, Vec<StatusItem>),
    Append(Append),
    Idle,
    Close,
    Unselect,
    Expunge(Option<Set>),
    Search(By, Search),
    Fetch {
        by: By,
        set: Set,
        items: Vec<Item>,
    },
    Store {
        by: By,
        set: Set,
        change: Change,
        told: Told,
        flags: Vec<FlagName>,
    },
    Copy {
        by: By,
        set: Set,
        to: String,
        kind: Transfer,
    },
}

/// LIST (RFC 3501 §6.3.8), with what RFC 6154 and RFC 5258 add.
pub(super) struct List {
    pub(super) reference: String,
    pub(super) patterns: Vec<String>,
    /// Only mailboxes with a special use.
    pub(super) special: bool,
    /// Only subscribed mailboxes.
    pub(super) subscribed: bool,
}

/// APPEND (RFC 3501 §6.3.11).
pub(super) struct Append {
    pub(super) mailbox: String,
    pub(super) flags: Vec<FlagName>,
    pub(super) date: Option<DateTime>,
    pub(super) message: Bytes,
}

/// What STORE does with the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Replace,
    Add,
    Remove,
}

/// Whether STORE answers with the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Flags,
    Silent,
}

/// COPY, or MOVE (RFC 6851).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    Copy,
    Move,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    /// RFC 8438
    Size,
}

/// The state a command is for (RFC 3501 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    NoLogin,
    Login,
    Mailbox,
}

impl Command {
    /// The state this command is for.
    pub(super) fn needs(&self) -> Needs {
        match self {
            Command::Capability | Command::Noop | Command::Logout | Command::Id => Needs::Nothing,
            Command::Login { .. } | Command::Authenticate { .. } => Needs::NoLogin,
            Command::Namespace
            | Command::Enable
            | Command::List(_)
            | Command::Lsub { .. }
            | Command::Create(_)
            | Command::Delete(_)
            | Command::Rename { .. }
            | Command::Subscribe(_)
            | Command::Unsubscribe(_)
            | Command::Select(..)
            | Command::Status(..)
            | Command::Append(_)
            | Command::Idle => Needs::Login,
            Command::Check
            | Command::Close
            | Command::Unselect
            | Command::Expunge(_)
            | Command::Search(..)
            | Command::Fetch { .. }
            | Command::Store { .. }
            | Command::Copy { .. } => Needs::Mailbox,
        }
    }
}
