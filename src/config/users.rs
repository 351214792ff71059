//! `users:` and `users_from:` from the checked tree and from map files.
//!
//! A map file is read as a stream, entry by entry into the compact table, so that one with millions of
//! entries needs little more than the table itself.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;

mod bare;
mod sources;

use self::bare::Bare;
pub(super) use self::sources::sources;
use super::check::Report;
use super::map_file;
use super::mask;
use super::node::{Kind, Mark, Node};
use super::problem::{self, Code, Problem, did_you_mean, quoted};
use super::raw::Raw;
use super::rest;
use super::schema;
use super::url;
use super::value::Wrong;
use super::yaml;
use crate::backend;
use crate::route::lookup::{self, own_header};
use crate::route::rule::{self, Key, Template};
use crate::route::table::Refused;
use crate::route::{Destination, Map, Place};

/// `timeout` of a lookup service.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the map and its files, and which lookup services are asked.
pub(super) fn read(
    root: Raw<'_>,
    backends: &BTreeMap<String, backend::Config>,
    report: &mut Report<'_>,
) -> (Map, Vec<lookup::Config>) {
    let mut map = Map::default();
    let place = Place {
        file: report.file.clone(),
        line: 0,
    };
    let entries = root.get("users").node().map_or(&[][..], Node::entries);
    let mut bare = Bare::under(root.get("default_domain"));
    for (key, value) in entries {
        bare.note(key);
        entry(key, value, &place, backends, report, &mut map);
    }
    bare.tell(report);
    let mut seen = HashSet::new();
    let mut lookups = Vec::new();
    for source in root.get("users_from").items() {
        let (file, http) = (source.get("file"), source.get("http"));
        match (file.is_there(), http.is_there()) {
            (true, true) => {
                let message = "`file` and `http` exclude each other";
                report.say(http.mark(), Code::E016, message, "expected one of the two");
            }
            (false, false) if source.is_map() => {
                let message = "the source names neither a file nor a URL";
                report.say(
                    source.mark(),
                    Code::E012,
                    message,
                    "expected `file` or `http`",
                );
            }
            (true, false) => {
                for key in ["timeout", "cache", "headers"] {
                    if source.get(key).is_there() {
                        let message = format!("{} means nothing to a file", quoted(key));
                        let expected = "expected `file` alone";
                        report.say(source.get(key).mark(), Code::E016, message, expected);
                    }
                }
            }
            _ => {}
        }
        if file.text().is_some_and(|text| !seen.insert(text)) {
            let message = format!("{} is here twice", quoted(file.text().unwrap_or_default()));
            report.say(file.mark(), Code::E051, message, "expected each file once");
            continue;
        }
        if let (false, Some(text), Some(path)) =
            (http.is_there(), file.text(), file.path(report.base))
        {
            let bare = Bare::under(root.get("default_domain"));
            map_file((text, &path), bare, backends, report, &mut map);
        }
        if http.is_there() && !file.is_there() {
            lookups.extend(lookup(source, backends, &place, report));
        }
    }
    map.shrink();
    (map, lookups)
}

/// A lookup service; none where something is wrong with its URLs.
fn lookup(
    source: Raw<'_>,
    backends: &BTreeMap<String, backend::Config>,
    place: &Place,
    report: &mut Report<'_>,
) -> Option<lookup::Config> {
    let http = source.get("http");
    let mut urls = Vec::new();
    let each: Vec<Raw<'_>> = match http.text() {
        Some(_) => vec![http],
        None => http.items().collect(),
    };
    if each.is_empty() {
        let message = "`http` is an empty list";
        report.say(
            http.mark(),
            Code::E015,
            message,
            "expected at least one URL",
        );
    }
    for url in each {
        // What is no URL at all was reported where it stands.
        let fine = |text: &&str| url::http_url(text).is_ok();
        let Some(text) = url.text().filter(fine) else {
            continue;
        };
        match text.parse::<Uri>() {
            Ok(uri) => urls.push(uri),
            Err(_) => {
                let message = format!("{} cannot be used", quoted(text));
                report.say(url.mark(), Code::E020, message, "expected a URL in ASCII");
            }
        }
    }
    let mut headers = Vec::new();
    for (name, mark, value) in source.get("headers").entries() {
        let secret;
        let octets = match value.text() {
            Some(text) => text.as_bytes(),
            None => match rest::secret_of(value.get("file"), report) {
                Some(read) => {
                    secret = read;
                    secret.reveal()
                }
                None => continue,
            },
        };
        match own_header(name, octets) {
            Ok(header) => headers.push(header),
            Err(expected) => {
                let message = format!("{} cannot be sent as a header", quoted(name));
                report.say(mark, Code::E026, message, expected);
            }
        }
    }
    let config = lookup::Config {
        urls,
        timeout: source.get("timeout").duration().unwrap_or(LOOKUP_TIMEOUT),
        cache: source.get("cache").duration().unwrap_or_default(),
        headers,
        backends: backends.keys().cloned().collect(),
        place: place.at(http.mark().line),
    };
    (!config.urls.is_empty()).then_some(config)
}

fn entry(
    key: &Node,
    value: &Node,
    place: &Place,
    backends: &BTreeMap<String, backend::Config>,
    report: &mut Report<'_>,
    map: &mut Map,
) {
    if matches!(key.kind, Kind::Broken) {
        return;
    }
    let Some(name) = key.scalar() else {
        let message = format!("the key is {}", key.noun());
        report.say(
            key.mark,
            Code::E029,
            message,
            "expected a user name, `\"@domain\"` or `\"*\"`",
        );
        return;
    };
    // A value that was refused still takes its key: the double of it is a mistake of its own.
    let to = destination(name, value, backends, report)
        .unwrap_or_else(|| Destination::Reject(String::new()));
    let Err(refused) = map.insert(name, &to, &place.at(key.mark.line)) else {
        return;
    };
    let shown = quoted(key.shown());
    let (code, message, expected) = match refused {
        Refused::Key(expected) => (
            Code::E029,
            format!("{shown} is no key of a users map"),
            expected.to_owned(),
        ),
        Refused::Pattern(reason) => (
            Code::E027,
            format!("the pattern {shown} does not compile"),
            reason,
        ),
        Refused::Duplicate(first) => (
            Code::E004,
            format!("{shown} is here twice"),
            format!("the first is in line {}", first.line),
        ),
        Refused::Full => (
            Code::E006,
            "the users map is full".to_owned(),
            "expected at most 4 GiB of keys".to_owned(),
        ),
    };
    report.say(key.mark, code, message, &expected);
}

/// Where an entry leads; none if something is wrong with it.
fn destination(
    key: &str,
    value: &Node,
    backends: &BTreeMap<String, backend::Config>,
    report: &mut Report<'_>,
) -> Option<Destination> {
    let raw = Raw::from(value);
    if !raw.is_map() {
        return raw.text().map(Destination::backend);
    }
    let (backend, reject) = (raw.get("backend"), raw.get("reject"));
    if reject.is_there() {
        for key in ["backend", "login", "host"] {
            if raw.get(key).is_there() {
                let message = format!("{} and `reject` exclude each other", quoted(key));
                report.say(
                    raw.get(key).mark(),
                    Code::E016,
                    message,
                    "expected `reject` alone",
                );
            }
        }
        return reject.text().map(|text| Destination::Reject(text.into()));
    }
    if !backend.is_there() {
        let expected = "expected `backend: NAME` or `reject: TEXT`";
        report.say(value.mark, Code::E012, "the entry leads nowhere", expected);
        return None;
    }
    let login = raw.get("login");
    let template = login.text().and_then(|text| {
        let pattern = match Key::parse(key) {
            Ok(Key::Pattern(pattern)) => rule::pattern(pattern).ok(),
            _ => None,
        };
        let groups: Vec<&str> = pattern
            .iter()
            .flat_map(|p| p.capture_names().flatten())
            .collect();
        Template::new(text, &groups)
            .map_err(|expected| {
                let message = format!("{} is no login template", quoted(text));
                report.say(login.mark(), Code::E028, message, &expected);
            })
            .ok()
    });
    let host = raw.get("host");
    if let (Some(name), Some(known)) = (host.text(), backend.text().and_then(|b| backends.get(b)))
        && !known.hosts.is_empty()
        && !known.hosts.iter().any(|h| h.name == name)
    {
        let names = known.hosts.iter().map(|host| host.name.as_str());
        let list: Vec<String> = names.clone().take(6).map(quoted).collect();
        let wrong = Wrong {
            help: did_you_mean(name, names),
            ..Wrong::new(Code::E033, format!("its hosts are {}", list.join(", ")))
        };
        let message = format!(
            "backend {} has no host {}",
            quoted(&known.name),
            quoted(name)
        );
        report.add(host.mark(), Code::E033, message, wrong);
    }
    Some(Destination::Backend {
        backend: backend.text()?.into(),
        login: template,
        host: host.text().map(Into::into),
    })
}

/// Most names of backends that are remembered while a map file is read.
const MOST_GOOD: usize = 10_000;

/// Reads a map file; its problems go to the report, with their lines.
fn map_file(
    (named, path): (&str, &Path),
    mut bare: Bare<'_>,
    backends: &BTreeMap<String, backend::Config>,
    report: &mut Report<'_>,
    map: &mut Map,
) {
    // That it cannot be opened was reported where it is named.
    let Ok(file) = File::open(path) else { return };
    let name: Arc<Path> = Path::new(named).into();
    let mut inner = Report::new(name.clone(), "", report.base);
    inner.backends.clone_from(&report.backends);
    if file
        .metadata()
        .is_ok_and(|meta| meta.len() > yaml::MAX_MAP_FILE)
    {
        let message = "the map file is too large";
        inner.say(
            Mark::default(),
            Code::E001,
            message,
            "expected at most 1 GiB",
        );
        report.problems.append(&mut inner.problems);
        return;
    }
    let place = Place {
        file: name,
        line: 0,
    };
    // Backends that were named and are there: nearly every entry names one of a few.
    let mut good: HashSet<Box<str>> = HashSet::new();
    let mut entries = 0_usize;
    let read = map_file::read(file, |key, value| {
        entries = entries.saturating_add(1);
        bare.note(&key);
        if let (Kind::Text(_), Kind::Text(to)) = (&key.kind, &value.kind)
            && good.contains(to)
            && key.scalar() != Some("*")
        {
            entry(&key, &value, &place, backends, &mut inner, map);
            return;
        }
        if key.scalar() == Some("*") {
            let message = "a map file has no default entry";
            let expected = "expected `\"*\"` in the `users:` of proxy.yaml only";
            inner.say(key.mark, Code::E029, message, expected);
            return;
        }
        let at = (key.scalar().unwrap_or_default(), key.mark);
        let before = inner.problems.len();
        inner.shape(&value, &schema::USER, at, "users.*");
        if let (Kind::Text(to), true) = (&value.kind, inner.problems.len() == before)
            && good.len() < MOST_GOOD
        {
            good.insert(to.clone());
        }
        entry(&key, &value, &place, backends, &mut inner, map);
    });
    if read.is_ok() && entries == 0 && says_nothing(path) {
        // Somebody writes it, or the disk was full: nobody means that of no user is known any more.
        let expected = "expected entries, or `{}` where there are none yet";
        let message = "the map file is empty";
        inner.say(Mark::default(), Code::E041, message, expected);
    }
    if let Err(mut fault) = read {
        // What is no text fails YAML's reader, which names no place then.
        if let (None, Some(mark)) = (fault.mark, no_text(path)) {
            fault.mark = Some(mark);
            fault.message = "it is not UTF-8".into();
        }
        let mark = fault.mark.unwrap_or_default();
        let (code, wrong) = super::tree::unparsed(&fault);
        let message = format!("the map file cannot be read on: {}", fault.message);
        inner.add(mark, code, message, wrong);
    }
    bare.tell(&mut inner);
    add_lines(path, &mut inner.problems);
    let room = problem::MOST.saturating_sub(report.problems.len());
    inner.problems.truncate(room);
    report.problems.append(&mut inner.problems);
}

/// The lines of a file as YAML counts them: a bare CR ends one as well.
fn lines(file: File) -> impl Iterator<Item = Vec<u8>> {
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    lines.flat_map(|mut line| {
        line.pop_if(|last| *last == b'\r');
        let parts = line.split(|octet| *octet == b'\r');
        parts.map(<[u8]>::to_vec).collect::<Vec<_>>()
    })
}

/// Whether there is nothing in a file but comments.
fn says_nothing(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| {
        lines(file).all(|line| {
            let text = line.trim_ascii();
            text.is_empty() || text.starts_with(b"#")
        })
    })
}

/// The first place of a file that is not UTF-8.
fn no_text(path: &Path) -> Option<Mark> {
    let mut numbered = (1..).zip(lines(File::open(path).ok()?));
    numbered.find_map(|(line, octets)| {
        let good = std::str::from_utf8(&octets).err()?.valid_up_to();
        let good = String::from_utf8_lossy(octets.get(..good)?);
        Some(Mark {
            line,
            column: u32::try_from(good.chars().count()).ok()?.checked_add(1)?,
            ..Mark::default()
        })
    })
}

/// Fetches the source lines of problems that a stream left without, in one pass.
fn add_lines(path: &Path, problems: &mut [Problem]) {
    let wanted: HashSet<u32> = problems.iter().map(|p| p.line).collect();
    let Some(last) = wanted.iter().max().copied() else {
        return;
    };
    let Ok(file) = File::open(path) else { return };
    for (number, line) in (1..=last).zip(lines(file)) {
        if !wanted.contains(&number) {
            continue;
        }
        let line = String::from_utf8_lossy(&line);
        for problem in problems.iter_mut().filter(|p| p.line == number) {
            let skip = problem.column.saturating_sub(1) as usize;
            let from = line
                .char_indices()
                .nth(skip)
                .map_or(line.len(), |(at, _)| at);
            let rest = line.get(from..).unwrap_or_default();
            // The key or value, roughly: to the next space or comma, a colon left out.
            let length = rest.find([' ', ',', '}']).unwrap_or(rest.len());
            let length = length - usize::from(rest.get(..length).is_some_and(|r| r.ends_with(':')));
            problem.source = mask::line(&line);
            problem.marked = from..from + length;
            if problem.code == Code::E002 && rest.starts_with(['@', '*']) {
                super::tree::must_be_quoted(problem);
            }
        }
    }
}
