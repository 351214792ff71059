//! Mailbox names (RFC 3501 §5.1, §6.3): LIST and LSUB with their wildcards, CREATE, DELETE, RENAME,
//! subscriptions. A name above others that is no mailbox itself is listed as \Noselect.

use std::collections::BTreeSet;

use super::account::Account;
use super::command::{List, StatusItem};
use super::date::DateTime;
use super::output::Output;
use super::parse::SEEN;

/// Mailboxes, and subscriptions: each costs memory and a look at every LIST.
const MOST: usize = 500;
/// Longest name, and how deep.
const NAME: usize = 255;
const LEVELS: usize = 16;
/// Longest pattern that is compared with names; a longer one fits none.
const PATTERN: usize = 300;

/// Why not, as the text of a NO.
pub(super) type No = &'static str;

/// Writes the answers to LIST.
pub(super) fn list(account: &mut Account, list: &List, out: &mut Output) {
    if list.patterns.iter().all(String::is_empty) {
        // The root and the delimiter are asked for.
        return out.line(format_args!("* LIST (\\Noselect) \"/\" \"\""));
    }
    let patterns: Vec<String> = patterns(&list.reference, &list.patterns);
    let parents = parents(account.names.keys());
    let mut all: BTreeSet<String> = account.names.keys().chain(&parents).cloned().collect();
    if list.subscribed {
        all.extend(account.subscribed.iter().cloned());
    }
    for name in all {
        let subscribed = account.subscribed.contains(&name);
        if !patterns.iter().any(|pattern| matches(pattern, &name)) {
            continue;
        }
        let mut attributes = Vec::new();
        let special = account.named(&name).map(|mailbox| mailbox.special);
        if special.is_none() {
            attributes.push("\\Noselect");
        }
        attributes.push(match parents.contains(&name) {
            true => "\\HasChildren",
            false => "\\HasNoChildren",
        });
        attributes.extend(special.flatten());
        if list.special && special.flatten().is_none() || list.subscribed && !subscribed {
            continue;
        }
        if list.subscribed {
            attributes.push("\\Subscribed");
        }
        write("LIST", &attributes, &name, out);
    }
}

/// Writes the answers to LSUB (RFC 3501 §6.3.9).
pub(super) fn lsub(account: &Account, reference: &str, pattern: &str, out: &mut Output) {
    let [pattern] = &patterns(reference, &[pattern.to_owned()])[..] else {
        return;
    };
    let parents = parents(account.subscribed.iter());
    let all: BTreeSet<&String> = account.subscribed.iter().chain(&parents).collect();
    for name in all {
        let subscribed = account.subscribed.contains(name);
        // `%` also shows a name above subscribed ones; `*` shows those themselves.
        if matches(pattern, name) && (subscribed || pattern.ends_with('%')) {
            let attributes: &[&str] = if subscribed { &[] } else { &["\\Noselect"] };
            write("LSUB", attributes, name, out);
        }
    }
}

/// Writes the answer to STATUS (RFC 3501 §6.3.10).
pub(super) fn status(
    account: &mut Account,
    name: &str,
    items: &[StatusItem],
    out: &mut Output,
) -> Result<(), No> {
    let mailbox = account.named(name).ok_or(NONE)?;
    let messages = &mailbox.messages;
    out.bytes(b"* STATUS ");
    out.astring(name);
    out.bytes(b" (");
    for (index, item) in items.iter().enumerate() {
        let (name, value) = match item {
            StatusItem::Messages => ("MESSAGES", messages.len()),
            StatusItem::Recent => {
                let recent = messages.iter().filter(|m| m.uid >= mailbox.recent_from);
                ("RECENT", recent.count())
            }
            StatusItem::UidNext => ("UIDNEXT", mailbox.next_uid as usize),
            StatusItem::UidValidity => ("UIDVALIDITY", mailbox.validity as usize),
            StatusItem::Unseen => {
                let unseen = messages.iter().filter(|m| m.flags & SEEN == 0);
                ("UNSEEN", unseen.count())
            }
            StatusItem::Size => ("SIZE", messages.iter().map(|m| m.raw.len()).sum()),
        };
        let space = if index > 0 { " " } else { "" };
        out.bytes(format!("{space}{name} {value}").as_bytes());
    }
    out.bytes(b")\r\n");
    Ok(())
}

/// CREATE (RFC 3501 §6.3.3): the names above are made too.
pub(super) fn create(account: &mut Account, name: &str, now: DateTime) -> Result<(), No> {
    // A delimiter at the end says that names below will follow.
    let name = name.strip_suffix('/').unwrap_or(name);
    valid(name)?;
    if account.names.contains_key(name) {
        return Err("[ALREADYEXISTS] there is a mailbox of that name");
    }
    let mut new = above(name);
    new.push(name);
    new.retain(|name| !account.names.contains_key(*name));
    if account.names.len() + new.len() > MOST {
        return Err("[LIMIT] too many mailboxes");
    }
    for name in new {
        account.add(name, None, now);
    }
    Ok(())
}

/// DELETE (RFC 3501 §6.3.4): names below stay.
pub(super) fn delete(account: &mut Account, name: &str) -> Result<(), No> {
    if name == "INBOX" {
        return Err("[CANNOT] INBOX cannot be deleted");
    }
    if !account.names.contains_key(name) {
        return Err(NONE);
    }
    account.remove(name);
    Ok(())
}

/// RENAME (RFC 3501 §6.3.5): names below go along; INBOX gives its mail away and stays.
pub(super) fn rename(account: &mut Account, from: &str, to: &str, now: DateTime) -> Result<(), No> {
    let to = to.strip_suffix('/').unwrap_or(to);
    valid(to)?;
    let below = format!("{from}/");
    if to.starts_with(&below) {
        return Err("[CANNOT] a mailbox cannot move below itself");
    }
    if from == "INBOX" {
        let inbox = account.named(from).map(|mailbox| mailbox.validity);
        create(account, to, now)?;
        let target = account.named(to).map(|mailbox| mailbox.validity);
        if let (Some(inbox), Some(target)) = (inbox, target) {
            let mail = account.take(inbox, |_| true);
            // A new mailbox has room for every UID.
            let _ = account.deliver(target, mail);
        }
        return Ok(());
    }
    let names = account.names.keys();
    let moved: Vec<String> = names
        .filter(|name| *name == from || name.starts_with(&below))
        .cloned()
        .collect();
    if moved.is_empty() {
        return Err(NONE);
    }
    let renamed = |name: &String| format!("{to}{}", name.strip_prefix(from).unwrap_or_default());
    for name in &moved {
        let name = renamed(name);
        valid(&name)?;
        if account.names.contains_key(&name) {
            return Err("[ALREADYEXISTS] there is a mailbox of that name");
        }
    }
    let missing = above(to)
        .into_iter()
        .filter(|name| !account.names.contains_key(*name));
    let missing: Vec<_> = missing.collect();
    if account.names.len() + missing.len() > MOST {
        return Err("[LIMIT] too many mailboxes");
    }
    for name in missing {
        account.add(name, None, now);
    }
    for name in &moved {
        if let Some(validity) = account.names.remove(name) {
            account.names.insert(renamed(name), validity);
        }
    }
    Ok(())
}

/// SUBSCRIBE (RFC 3501 §6.3.6).
pub(super) fn subscribe(account: &mut Account, name: &str) -> Result<(), No> {
    valid(name)?;
    if account.subscribed.len() >= MOST {
        return Err("[LIMIT] too many subscriptions");
    }
    account.subscribed.insert(name.to_owned());
    Ok(())
}

/// There is no such mailbox.
pub(super) const NONE: No = "[NONEXISTENT] there is no mailbox of that name";

fn valid(name: &str) -> Result<(), No> {
    let levels = name.split('/');
    let sound = name.len() <= NAME
        && levels.clone().count() <= LEVELS
        && levels.clone().all(|level| !level.is_empty());
    match sound {
        true => Ok(()),
        false => Err("[CANNOT] not a name for a mailbox"),
    }
}

/// The names above a name: `a` and `a/b` for `a/b/c`.
fn above(name: &str) -> Vec<&str> {
    let ends = name.match_indices('/');
    ends.filter_map(|(end, _)| name.get(..end)).collect()
}

fn parents<'a>(names: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    names
        .flat_map(|name| above(name))
        .map(str::to_owned)
        .collect()
}

fn patterns(reference: &str, patterns: &[String]) -> Vec<String> {
    let whole = patterns
        .iter()
        .map(|pattern| format!("{reference}{pattern}"));
    // INBOX has no case, in a pattern either.
    whole
        .map(|pattern| match pattern.eq_ignore_ascii_case("INBOX") {
            true => "INBOX".to_owned(),
            false => pattern,
        })
        .collect()
}

/// Whether a name fits a pattern: `*` is anything, `%` anything without a delimiter. Each step
/// keeps the set of places in the pattern, so the time is the product of the lengths at most.
fn matches(pattern: &str, name: &str) -> bool {
    if pattern.len() > PATTERN {
        return false;
    }
    let pattern = pattern.as_bytes();
    let skip = |places: &mut Vec<bool>| {
        for (at, octet) in pattern.iter().enumerate() {
            let wild = matches!(octet, b'*' | b'%');
            if wild
                && places.get(at) == Some(&true)
                && let Some(next) = places.get_mut(at + 1)
            {
                *next = true;
            }
        }
    };
    let mut places = vec![false; pattern.len() + 1];
    if let Some(first) = places.first_mut() {
        *first = true;
    }
    skip(&mut places);
    for octet in name.bytes() {
        let mut next = vec![false; pattern.len() + 1];
        for (at, &wanted) in pattern.iter().enumerate() {
            if places.get(at) != Some(&true) {
                continue;
            }
            let to = match wanted {
                b'*' => Some(at),
                b'%' => (octet != b'/').then_some(at),
                wanted => (wanted == octet).then_some(at + 1),
            };
            if let Some(place) = to.and_then(|to| next.get_mut(to)) {
                *place = true;
            }
        }
        skip(&mut next);
        places = next;
    }
    places.last() == Some(&true)
}

fn write(verb: &str, attributes: &[&str], name: &str, out: &mut Output) {
    out.bytes(format!("* {verb} ({}) \"/\" ", attributes.join(" ")).as_bytes());
    out.astring(name);
    out.bytes(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, name, fits) in [
            ("*", "a/b", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("a/%", "a/b", true),
            ("a/%", "a", false),
            ("%/b", "a/b", true),
            ("a*c", "a/b/c", true),
            ("a%c", "a/c", false),
            ("*%*%*", "x", true),
            ("", "x", false),
            ("INBOX", "INBOX", true),
            ("inbox2", "INBOX2", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn names_that_cannot_be() {
        for name in ["", "/a", "a//b", &"a/".repeat(20), &"x".repeat(300)] {
            assert!(valid(name).is_err(), "{name}");
        }
        assert!(valid("a/b c").is_ok());
        assert_eq!(above("a/b/c"), ["a", "a/b"]);
    }
}
