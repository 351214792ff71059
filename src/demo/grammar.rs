//! Reads a command (RFC 3501 §9 `command`): its tag, its name and its arguments.

use super::command::{Append, Change, Command, List, StatusItem, Told, Transfer};
use super::date::DateTime;
use super::fetch::{self, Item};
use super::input::Piece;
use super::parse::{Bad, Cursor, FlagName, Parsed, is_atom};
use super::search;
use super::view::{Access, By};

/// Longest tag, as everywhere in Gatepost.
const TAG: usize = 64;
/// Patterns, options and items of a LIST or STATUS.
const LISTED: usize = 10;

/// The tag and what stands behind it. `None`: no tag that could be repeated.
pub(super) fn parse(pieces: &[Piece]) -> Option<(String, Parsed<Command>)> {
    let mut cursor = Cursor::new(pieces);
    let tag = tag(&mut cursor)?;
    Some((tag, command(&mut cursor)))
}

/// The tag of a command of which only the start is there.
pub(super) fn tag(cursor: &mut Cursor<'_>) -> Option<String> {
    let tag = cursor.take(|b| (is_atom(b) || b == b']') && b != b'+');
    let valid = !tag.is_empty() && tag.len() <= TAG && matches!(cursor.peek(), Some(b' ') | None);
    valid.then(|| String::from_utf8_lossy(tag).into_owned())
}

/// Whether the literal that is announced next is the message of an APPEND.
pub(super) fn awaits_message(pieces: &[Piece]) -> bool {
    let mut cursor = Cursor::new(pieces);
    let Some(_) = tag(&mut cursor) else {
        return false;
    };
    cursor.eat(b' ')
        && cursor.word("APPEND")
        && append_start(&mut cursor).is_ok()
        && cursor.at_end()
}

fn command(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let verb = cursor.atom()?;
    let by = match verb == "UID" {
        true => By::Uid,
        false => By::Number,
    };
    let verb = match by {
        By::Uid => {
            cursor.space()?;
            let verb = cursor.atom()?;
            match verb.as_str() {
                "EXPUNGE" | "SEARCH" | "FETCH" | "STORE" | "COPY" | "MOVE" => verb,
                _ => return Err(Bad("expected a command that goes by UID")),
            }
        }
        By::Number => verb,
    };
    let command = arguments(&verb, by, cursor)?;
    cursor.end()?;
    Ok(command)
}

fn arguments(verb: &str, by: By, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    Ok(match verb {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "CHECK" => Command::Check,
        "LOGOUT" => Command::Logout,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "ID" => {
            // What the client says of itself is of no interest here.
            cursor.space()?;
            if !cursor.word("NIL") {
                cursor.list(60, |cursor| match cursor.word("NIL") {
                    true => Ok(()),
                    false => cursor.string().map(drop),
                })?;
            }
            Command::Id
        }
        "LOGIN" => Command::Login {
            user: spaced(cursor, Cursor::astring)?,
            password: spaced(cursor, Cursor::astring)?,
        },
        "AUTHENTICATE" => Command::Authenticate {
            mechanism: spaced(cursor, Cursor::atom)?,
            initial: cursor
                .eat(b' ')
                .then(|| cursor.take(|b| b != b' ').to_vec()),
        },
        "ENABLE" => {
            while cursor.eat(b' ') {
                cursor.atom()?;
            }
            Command::Enable
        }
        "LIST" => Command::List(list(cursor)?),
        "LSUB" => Command::Lsub {
            reference: spaced(cursor, Cursor::pattern)?,
            pattern: spaced(cursor, Cursor::pattern)?,
        },
        "CREATE" => Command::Create(mailbox(cursor)?),
        "DELETE" => Command::Delete(mailbox(cursor)?),
        "RENAME" => Command::Rename {
            from: mailbox(cursor)?,
            to: mailbox(cursor)?,
        },
        "SUBSCRIBE" => Command::Subscribe(mailbox(cursor)?),
        "UNSUBSCRIBE" => Command::Unsubscribe(mailbox(cursor)?),
        "SELECT" => Command::Select(mailbox(cursor)?, Access::ReadWrite),
        "EXAMINE" => Command::Select(mailbox(cursor)?, Access::ReadOnly),
        "STATUS" => {
            let mailbox = mailbox(cursor)?;
            cursor.space()?;
            Command::Status(mailbox, cursor.list(LISTED, status_item)?)
        }
        "APPEND" => {
            let (mailbox, flags, date) = append_start(cursor)?;
            let message = cursor.literal()?;
            Command::Append(Append {
                mailbox,
                flags,
                date,
                message,
            })
        }
        "EXPUNGE" if by == By::Number => Command::Expunge(None),
        "EXPUNGE" => Command::Expunge(Some(spaced(cursor, Cursor::set)?)),
        "SEARCH" => Command::Search(by, spaced(cursor, search::search)?),
        "FETCH" => {
            let set = spaced(cursor, Cursor::set)?;
            let mut items = spaced(cursor, fetch::items)?;
            // UID FETCH always tells the UID (RFC 3501 §6.4.8).
            if by == By::Uid && !items.contains(&Item::Uid) {
                items.insert(0, Item::Uid);
            }
            Command::Fetch { by, set, items }
        }
        "STORE" => store(by, cursor)?,
        "COPY" => copy(by, Transfer::Copy, cursor)?,
        "MOVE" => copy(by, Transfer::Move, cursor)?,
        _ => return Err(Bad("expected a command that exists")),
    })
}

/// A space and what follows it.
fn spaced<'a, T>(
    cursor: &mut Cursor<'a>,
    read: impl FnOnce(&mut Cursor<'a>) -> Parsed<T>,
) -> Parsed<T> {
    cursor.space()?;
    read(cursor)
}

fn mailbox(cursor: &mut Cursor<'_>) -> Parsed<String> {
    spaced(cursor, Cursor::mailbox)
}

fn list(cursor: &mut Cursor<'_>) -> Parsed<List> {
    cursor.space()?;
    let mut options = Vec::new();
    if cursor.peek() == Some(b'(') {
        options = cursor.list(LISTED, |cursor| match cursor.atom()?.as_str() {
            option @ ("SPECIAL-USE" | "SUBSCRIBED" | "REMOTE") => Ok(option.to_owned()),
            _ => Err(Bad("expected SPECIAL-USE or SUBSCRIBED")),
        })?;
        cursor.space()?;
    }
    let reference = cursor.pattern()?;
    cursor.space()?;
    let patterns = match cursor.peek() {
        Some(b'(') => cursor.list(LISTED, Cursor::pattern)?,
        _ => vec![cursor.pattern()?],
    };
    if cursor.eat(b' ') {
        if !cursor.word("RETURN") {
            return Err(Bad("expected RETURN"));
        }
        // The answers hold all of these anyhow.
        spaced(cursor, |cursor| {
            cursor.list(LISTED, |cursor| match cursor.atom()?.as_str() {
                "SPECIAL-USE" | "SUBSCRIBED" | "CHILDREN" => Ok(()),
                _ => Err(Bad("expected SPECIAL-USE, SUBSCRIBED or CHILDREN")),
            })
        })?;
    }
    let chosen = |name: &str| options.iter().any(|option| option == name);
    Ok(List {
        reference,
        patterns,
        special: chosen("SPECIAL-USE"),
        subscribed: chosen("SUBSCRIBED"),
    })
}

fn status_item(cursor: &mut Cursor<'_>) -> Parsed<StatusItem> {
    match cursor.atom()?.as_str() {
        "MESSAGES" => Ok(StatusItem::Messages),
        "RECENT" => Ok(StatusItem::Recent),
        "UIDNEXT" => Ok(StatusItem::UidNext),
        "UIDVALIDITY" => Ok(StatusItem::UidValidity),
        "UNSEEN" => Ok(StatusItem::Unseen),
        "SIZE" => Ok(StatusItem::Size),
        _ => Err(Bad("expected a STATUS item")),
    }
}

/// Everything of an APPEND up to its message.
fn append_start(cursor: &mut Cursor<'_>) -> Parsed<(String, Vec<FlagName>, Option<DateTime>)> {
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.flags()?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(cursor.date_time()?);
        cursor.space()?;
    }
    Ok((mailbox, flags, date))
}

fn store(by: By, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let set = spaced(cursor, Cursor::set)?;
    cursor.space()?;
    let change = match (cursor.eat(b'+'), cursor.eat(b'-')) {
        (true, false) => Change::Add,
        (false, true) => Change::Remove,
        _ => Change::Replace,
    };
    let told = match cursor.atom()?.as_str() {
        "FLAGS" => Told::Flags,
        "FLAGS.SILENT" => Told::Silent,
        _ => return Err(Bad("expected FLAGS or FLAGS.SILENT")),
    };
    let flags = spaced(cursor, Cursor::flags)?;
    Ok(Command::Store {
        by,
        set,
        change,
        told,
        flags,
    })
}

fn copy(by: By, kind: Transfer, cursor: &mut Cursor<'_>) -> Parsed<Command> {
    Ok(Command::Copy {
        by,
        set: spaced(cursor, Cursor::set)?,
        to: mailbox(cursor)?,
        kind,
    })
}
