//! The mail that is there: mailboxes, messages and flags, and what can be done to them. Every
//! change has a moment, by which sessions see what they have not told yet.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::date::DateTime;
use super::parse::{DELETED, FlagName, SYSTEM_FLAGS};
use super::set::Ranges;
use super::store::Room;

/// Keywords of the whole store: they are the bits of a `u64` behind the system flags.
const KEYWORDS: usize = u64::BITS as usize - SYSTEM_FLAGS.len();

/// The user's mail.
#[derive(Default)]
pub(super) struct Account {
    /// Mailboxes by name; the number is the UIDVALIDITY, which no other mailbox ever has.
    pub(super) names: BTreeMap<String, u32>,
    mailboxes: BTreeMap<u32, Mailbox>,
    pub(super) subscribed: BTreeSet<String>,
    keywords: Vec<String>,
    last_validity: u32,
    ticks: u64,
}

/// A mailbox.
pub(super) struct Mailbox {
    pub(super) validity: u32,
    pub(super) next_uid: u32,
    /// The first UID that no read-write session has been told of (RFC 3501 §2.3.2 \Recent).
    pub(super) recent_from: u32,
    /// A special use (RFC 6154): `\Sent`.
    pub(super) special: Option<&'static str>,
    /// Ascending UIDs.
    pub(super) messages: Vec<Message>,
    /// When something last changed here.
    pub(super) changed: u64,
}

/// A message in a mailbox.
pub(super) struct Message {
    pub(super) uid: u32,
    pub(super) flags: u64,
    pub(super) date: DateTime,
    /// When its flags last changed.
    pub(super) changed: u64,
    pub(super) raw: Bytes,
    room: Room,
}

/// A message that is not in a mailbox yet.
pub(super) struct Arrival {
    pub(super) flags: u64,
    pub(super) date: DateTime,
    pub(super) raw: Bytes,
    pub(super) room: Room,
}

/// Why the store cannot do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// [`QUOTA`].
    Quota,
    /// [`KEYWORDS`].
    Keywords,
    /// No UID is left.
    Uids,
}

impl Account {
    /// The mailbox of that UIDVALIDITY.
    pub(super) fn mailbox(&mut self, validity: u32) -> Option<&mut Mailbox> {
        self.mailboxes.get_mut(&validity)
    }

    /// The mailbox of that UIDVALIDITY, to look at.
    pub(super) fn mailbox_ref(&self, validity: u32) -> Option<&Mailbox> {
        self.mailboxes.get(&validity)
    }

    /// The mailbox of that name.
    pub(super) fn named(&mut self, name: &str) -> Option<&mut Mailbox> {
        let validity = self.names.get(name)?;
        self.mailboxes.get_mut(validity)
    }

    /// Adds an empty mailbox. Its UIDVALIDITY is above every earlier one, also of an earlier run
    /// of the program (RFC 3501 §2.3.1.1): the time, or the next number.
    pub(super) fn add(&mut self, name: &str, special: Option<&'static str>, now: DateTime) {
        let time = u32::try_from(now.seconds).unwrap_or(1);
        let validity = time.max(self.last_validity.saturating_add(1));
        self.last_validity = validity;
        let changed = self.tick();
        let mailbox = Mailbox {
            validity,
            next_uid: 1,
            recent_from: 1,
            special,
            messages: Vec::new(),
            changed,
        };
        self.mailboxes.insert(validity, mailbox);
        self.names.insert(name.to_owned(), validity);
    }

    /// Takes a mailbox and its mail away.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(validity) = self.names.remove(name) {
            self.mailboxes.remove(&validity);
            self.tick();
        }
    }

    /// The bits of flags; a keyword that is new becomes known. `Err` if there are too many.
    pub(super) fn flags(&mut self, names: &[FlagName]) -> Result<u64, Full> {
        let mut bits = 0;
        for name in names {
            bits |= match name {
                FlagName::System(bit) => *bit,
                FlagName::Keyword(name) => match self.keyword(name) {
                    Some(bit) => bit,
                    None if self.keywords.len() < KEYWORDS => {
                        self.keywords.push(name.clone());
                        self.tick();
                        self.keyword(name).unwrap_or(0)
                    }
                    None => return Err(Full::Keywords),
                },
            };
        }
        Ok(bits)
    }

    /// The bit of a keyword some message had.
    pub(super) fn keyword(&self, name: &str) -> Option<u64> {
        let known = |keyword: &String| keyword.eq_ignore_ascii_case(name);
        let index = self.keywords.iter().position(known)?;
        1u64.checked_shl(u32::try_from(index + SYSTEM_FLAGS.len()).ok()?)
    }

    /// How many keywords are known.
    pub(super) fn keywords(&self) -> usize {
        self.keywords.len()
    }

    /// The names of the flags in `bits`, in the form of a list's inside.
    pub(super) fn flag_names(&self, bits: u64) -> String {
        let system = SYSTEM_FLAGS.iter().map(|(name, _)| *name);
        let names = system.chain(self.keywords.iter().map(String::as_str));
        let set = names.enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
        set.map(|(_, name)| name).collect::<Vec<_>>().join(" ")
    }

    /// Whether a mailbox has UIDs for so many messages: the UIDNEXT after them.
    pub(super) fn fits(&self, to: u32, count: usize) -> Result<u32, Full> {
        let next = self
            .mailboxes
            .get(&to)
            .map_or(1, |mailbox| mailbox.next_uid);
        let count = u32::try_from(count).map_err(|_| Full::Uids)?;
        next.checked_add(count).ok_or(Full::Uids)
    }

    /// Puts messages into a mailbox; their UIDs.
    pub(super) fn deliver(&mut self, to: u32, arrivals: Vec<Arrival>) -> Result<Vec<u32>, Full> {
        let next_uid = self.fits(to, arrivals.len())?;
        let tick = self.tick();
        let Some(mailbox) = self.mailboxes.get_mut(&to) else {
            return Ok(Vec::new());
        };
        let first = mailbox.next_uid;
        mailbox.next_uid = next_uid;
        mailbox.changed = tick;
        let uids: Vec<u32> = (first..mailbox.next_uid).collect();
        for (&uid, arrival) in uids.iter().zip(arrivals) {
            mailbox.messages.push(Message {
                uid,
                flags: arrival.flags,
                date: arrival.date,
                changed: tick,
                raw: arrival.raw,
                room: arrival.room,
            });
        }
        Ok(uids)
    }

    /// Copies of messages, to be delivered; all of them or none.
    pub(super) fn copies(&mut self, from: u32, uids: &[u32]) -> Result<Vec<Arrival>, Full> {
        let Some(mailbox) = self.mailboxes.get(&from) else {
            return Ok(Vec::new());
        };
        let messages = uids.iter().filter_map(|&uid| mailbox.message(uid));
        let copy = |message: &Message| {
            Ok(Arrival {
                flags: message.flags,
                date: message.date,
                raw: message.raw.clone(),
                room: message.room.again().ok_or(Full::Quota)?,
            })
        };
        messages.map(copy).collect()
    }

    /// Takes messages out of a mailbox, to be delivered elsewhere or dropped.
    pub(super) fn take(&mut self, from: u32, gone: impl Fn(&Message) -> bool) -> Vec<Arrival> {
        let tick = self.tick();
        let Some(mailbox) = self.mailboxes.get_mut(&from) else {
            return Vec::new();
        };
        let (taken, kept) = std::mem::take(&mut mailbox.messages)
            .into_iter()
            .partition::<Vec<_>, _>(gone);
        mailbox.messages = kept;
        if !taken.is_empty() {
            mailbox.changed = tick;
        }
        let arrival = |message: Message| Arrival {
            flags: message.flags,
            date: message.date,
            raw: message.raw,
            room: message.room,
        };
        taken.into_iter().map(arrival).collect()
    }

    /// Expunges what carries \Deleted, of `uids` if given.
    pub(super) fn expunge(&mut self, mailbox: u32, uids: Option<&Ranges>) {
        self.take(mailbox, |message| {
            message.flags & DELETED != 0 && uids.is_none_or(|uids| uids.contains(message.uid))
        });
    }

    /// The last moment of change.
    pub(super) fn ticks(&self) -> u64 {
        self.ticks
    }

    /// The next moment of change.
    pub(super) fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}

impl Mailbox {
    /// The message of that UID.
    pub(super) fn message(&self, uid: u32) -> Option<&Message> {
        let at = self.messages.binary_search_by_key(&uid, |m| m.uid).ok()?;
        self.messages.get(at)
    }

    /// Gives a message other flags; says whether it is there.
    pub(super) fn set_flags(&mut self, uid: u32, flags: u64, tick: u64) -> Option<()> {
        let at = self.messages.binary_search_by_key(&uid, |m| m.uid).ok()?;
        let message = self.messages.get_mut(at)?;
        if message.flags != flags {
            message.flags = flags;
            message.changed = tick;
            self.changed = tick;
        }
        Some(())
    }
}
