//! What a maildrop asks of a mailbox, and what it is told: the words between the two halves of the
//! translation. Neither half knows the other's protocol.

use std::borrow::Cow;
use std::sync::Arc;

use super::snapshot::Snapshot;
use super::uid_set::UidSet;
use crate::protocol::Failure;

/// Something to be done by the mailbox. At most one that wants an answer is under way at a time;
/// fetches [`When::Ahead`] want none until they are asked for [`When::Now`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The octets of a message.
    Fetch(Fetch, When),
    /// What is still to come of the body under way is not needed.
    Enough,
    /// Whether messages may be deleted here, which a mailbox that was not selected yet cannot tell.
    /// Answered by [`Event::Access`].
    Access,
    /// What QUIT does. Answered by [`Event::Updated`].
    Update(Update),
    /// Answer to [`Event::Guard`]: these are noted, and their marks may be taken away. None: they may
    /// not.
    Guarded(Option<UidSet>),
    /// These carried \\Deleted before a session that could not put it back. Only on a mailbox that is
    /// selected. Answered by [`Event::Updated`].
    Restore(UidSet),
}

/// Which octets of which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The message.
    pub uid: u32,
    /// Which octets.
    pub span: Span,
    /// Its announced size: a body of none is believed only where this is 0.
    pub expect: u64,
}

/// A part of a message, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// `BODY.PEEK[]`
    Whole,
    /// `BODY.PEEK[]<offset.length>`
    Part {
        /// From this octet on.
        offset: u64,
        /// At most so many.
        length: u32,
    },
}

/// When a body is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Now.
    Now,
    /// Soon, probably, in the order of asking: until then it waits in the socket.
    Ahead,
}

/// What QUIT does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// These are removed. Nothing else is in it.
    pub delete: UidSet,
    /// These are marked \Seen.
    pub seen: UidSet,
}

/// What a mailbox tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The mailbox is open; a login may be accepted now.
    Opened(Opened),
    /// It cannot be opened. Nothing follows.
    Refused(Failure),
    /// The octets asked for now begin; so many were announced.
    BodyStart {
        /// Their number.
        octets: u64,
        /// The number, in the message, of the first one. Hosts that do not know parts send all.
        origin: u64,
    },
    /// Some of them.
    Body(Cow<'a, [u8]>),
    /// They were all, they are of the message that was asked for, and the host's answer has ended.
    BodyEnd,
    /// No octets can be had.
    NoBody(NoBody),
    /// The octets told so far are not the whole, and nothing more will come.
    BodyBroken(Cut),
    /// Answer to [`Ask::Access`].
    Access(Access),
    /// The marks of others' messages are to be taken away for a moment. Answered by [`Ask::Guarded`]
    /// once it is noted where it outlives us. Of none, before it is known whether there are any: no other
    /// session may do so until this one is over.
    Guard {
        /// The mailbox's UIDVALIDITY.
        uid_validity: u64,
        /// The messages.
        marks: UidSet,
    },
    /// All those marks are back.
    Released,
    /// Answer to [`Ask::Update`].
    Updated(Outcome),
    /// The connection is of no more use. What that means for the ask under way comes behind it.
    Lost(Loss),
}

/// An open mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What is in it.
    pub snapshot: Arc<Snapshot>,
    /// Whether messages may be deleted; none where it was not selected yet.
    pub access: Option<Access>,
}

/// Why no octets can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBody {
    /// The host was asked for the message alone and does not know it any more.
    Gone,
    /// The message is there, but the host does not give it.
    Unreadable,
    /// The host wants to be left alone for a while.
    Throttled,
    /// The connection was lost.
    Lost,
}

/// Whether messages may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Yes.
    ReadWrite,
    /// The mailbox is read-only.
    ReadOnly,
    /// They would have to be moved to \Trash, and there is none.
    NoTrash,
    /// It cannot be told: the connection was lost.
    Lost,
}

/// What is known of the octets of a body that broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// They are the message's; the connection was lost.
    Lost,
    /// They may be anything.
    Wrong,
}

/// What became of an [`Update`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that was to be removed is removed.
    Done,
    /// So many are still there.
    Left {
        /// How many were not removed.
        left: u64,
        /// How many should have been.
        of: u64,
    },
    /// Nothing was removed: without UIDPLUS others' mail marked \Deleted would have gone too.
    OthersDeleted,
    /// The connection was lost; what was removed is not known.
    Unknown,
    /// Nothing was removed.
    NotDone,
}

/// Why a connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The host closed it, or said BYE.
    Closed,
    /// The host broke the protocol: what was expected.
    Protocol(&'static str),
    /// The UIDs mean other messages now (UIDVALIDITY changed): none may be used any more.
    Poisoned,
}
