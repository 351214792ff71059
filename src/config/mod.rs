//! proxy.yaml: read, checked as a whole, and turned into the settings of every part.
//!
//! [`Config`] is the file as meant. Each part owns its own settings type; this module only fills
//! them in, so no part imports `config`. The way of a file: `tree` (text to tree, by `yaml`), `fill`
//! (variables), `check` along `schema` (every key by itself), `leaf` (every value), the readers (`listeners`, `backends`, `users`, `limits`, `rest`:
//! what several keys mean together). Everything wrong is collected on the way: see [`problem`].

mod admin_only;
mod backends;
mod check;
mod files;
mod fill;
mod leaf;
mod limits;
mod listeners;
pub mod map_file;
mod mask;
mod node;
mod pending;
mod places;
pub mod problem;
mod raw;
mod rest;
pub mod schema;
mod schema_json;
mod tree;
mod url;
mod users;
mod value;
mod ways;
mod written;
mod yaml;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use places::Places;
pub use problem::{Code, Colour, Problem, Problems, Severity};
pub use schema_json::schema as json_schema;

use crate::tls::Stamp;
use crate::{admin, backend, listen, observe, route, session, state, tls};
use check::{Looked, Report, Watch};
use raw::Raw;

/// proxy.yaml as meant: defaults filled in, every name resolved, everything checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where this was read from.
    pub source: Source,
    /// Where in it things stand that may fail when they are put to use.
    pub places: Places,
    /// In the file's order, never empty.
    pub listeners: Vec<listen::Config>,
    /// TLS towards clients.
    pub tls: tls::Config,
    /// By name.
    pub backends: BTreeMap<String, backend::Config>,
    /// Who goes where.
    pub routes: route::Config,
    /// Limits.
    pub limits: session::Limits,
    /// Timeouts.
    pub timeouts: session::Timeouts,
    /// How the gateway itself checks passwords, if it does.
    pub authenticate: Option<session::authenticate::Config>,
    /// The admin port, if any.
    pub admin: Option<admin::Config>,
    /// Where moves, drains, weights and the like are kept.
    pub state: state::Config,
    /// The log.
    pub log: observe::Config,
    /// Worker threads; none: the cores the process may use.
    pub threads: Option<usize>,
}

/// Where settings were read from: their own file and those it names. Certificates towards clients, the
/// ticket key and the file of passwords are not among them, unless something else uses the same file:
/// who uses those watches them.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// proxy.yaml, as it was named.
    pub file: PathBuf,
    /// Each file, as it was when it was read; none: it was not there.
    pub(crate) files: Vec<(PathBuf, Option<Stamp>)>,
}

/// What came of reading a file: settings and warnings, or everything that is wrong.
pub type Read = Result<(Config, Vec<Problem>), Problems>;

impl Config {
    /// Reads and checks a file: the settings and its warnings, or everything that is wrong (warnings
    /// among it). Blocks on the file system.
    pub fn load(path: &Path) -> Read {
        Config::load_from(path).0
    }

    /// The same, and which files were read for it: also for settings that are wrong.
    pub fn load_from(path: &Path) -> (Read, Source) {
        let mut source = Source {
            file: path.into(),
            files: vec![(path.into(), Stamp::of(path))],
        };
        let text = match read(path) {
            Ok(text) => text,
            Err((message, help)) => {
                let message = format!("{}: {message}", path.display());
                let mut problem = Problem::of_file(path, Code::E001, message);
                problem.help = help.map(Into::into);
                return (Err(Problems(vec![problem])), source);
            }
        };
        let base = path.parent().unwrap_or(Path::new(""));
        let (mut read, files) = parse(path, &text, base, &|name| std::env::var(name).ok());
        source.files.extend(files);
        if let Ok((config, _)) = &mut read {
            config.source = source.clone();
        }
        (read, source)
    }

    /// The same for a text: `path` is what it is called, relative paths in it start at `base`, `env`
    /// answers for `${NAME}`.
    pub fn parse(
        path: &Path,
        text: &str,
        base: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Read {
        parse(path, text, base, env).0
    }
}

/// A text, checked as a whole, and the files it names that are read with it.
fn parse(
    path: &Path,
    text: &str,
    base: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Read, Vec<(PathBuf, Option<Stamp>)>) {
    let mut report = Report::new(path.into(), text, base);
    let Some(mut tree) = tree::read(text, &mut report) else {
        return (Err(Problems(report.problems)), seen(report.files));
    };
    let secrets = mask::secrets(&tree);
    report.secrets = Some(secrets.clone());
    for (mark, message) in fill::fill(&mut tree, env) {
        // What stands in `${…}` may be a piece of a password with a dollar in it.
        let in_secret = secrets.iter().any(|it| it.contains(&(mark.start as usize)));
        let message = match in_secret {
            true => "`${…}` of a secret cannot be put in; a dollar is written `$$`".into(),
            false => message,
        };
        report.say(
            mark,
            Code::E005,
            message,
            "expected `${NAME}` of a variable that is set",
        );
    }
    let root = Raw::from(&tree);
    report.backends = root
        .get("backends")
        .entries()
        .map(|(name, ..)| name)
        .collect();
    report.shape(&tree, &schema::ROOT, ("proxy.yaml", tree.mark), "");
    let config = meant(root, &mut report);
    let (mut problems, mut files) = (report.problems, report.files);
    problems.sort_by_key(|p| (p.file != path.into(), p.line, p.column));
    if problems
        .iter()
        .any(|p| p.code.severity() == Severity::Error)
    {
        // Who uses these has not seen them: that they got better is seen here.
        return (Err(Problems(problems)), seen(files));
    }
    files.retain(|looked| looked.watch == Watch::Settings);
    (Ok((config, problems)), seen(files))
}

fn seen(files: Vec<Looked>) -> Vec<(PathBuf, Option<Stamp>)> {
    let each = files.into_iter().map(|it| (it.file, it.stamp));
    each.collect()
}

/// The readers, in the order in which they need each other.
fn meant(root: Raw<'_>, report: &mut Report<'_>) -> Config {
    let listeners = listeners::read(root, report);
    let tls = rest::tls(root, report);
    let backends = backends::read(root, report);
    let (map, lookups) = users::read(root, &backends, report);
    let admin = rest::admin(root, report);
    let admin_bind = admin
        .as_ref()
        .map(|a| (a.bind, root.get("admin").get("bind").mark()));
    listeners::certificates(&listeners, root, &backends, report);
    listeners::clashes(&listeners, admin_bind, report);
    users::sources(&listeners, root, report);
    let named = { listeners.iter() }.map(|it| (&*it.config.name, it.mark));
    let places = Places::of(root, named, report);
    Config {
        source: Source {
            file: report.file.to_path_buf(),
            files: Vec::new(),
        },
        places,
        listeners: listeners
            .into_iter()
            .map(|listener| listener.config)
            .collect(),
        tls,
        backends,
        routes: route::Config {
            map: Arc::new(map),
            default_domain: root.get("default_domain").text().map(Into::into),
            lookups,
        },
        limits: limits::limits(root, report),
        timeouts: limits::timeouts(root),
        authenticate: rest::authenticate(root, report),
        admin,
        state: rest::state(root, report),
        log: rest::log(root, report),
        threads: root.get("threads").count(),
    }
}

/// Reads the text of proxy.yaml; an error is what is wrong and what to do.
fn read(path: &Path) -> Result<String, (String, Option<&'static str>)> {
    let unreadable =
        |error: std::io::Error| (format!("cannot be read: {}", files::reason(&error)), None);
    let mut octets = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(yaml::MAX_FILE + 1)
        .read_to_end(&mut octets)
        .map_err(unreadable)?;
    if octets.len() as u64 > yaml::MAX_FILE {
        let help = "put the users into map files: `users_from: [{ file: users.yaml }]`";
        return Err(("larger than 16 MiB".into(), Some(help)));
    }
    String::from_utf8(octets).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let lines = error.as_bytes().iter().take(good);
        let line = lines.filter(|c| **c == b'\n').count() + 1;
        (format!("not UTF-8 in line {line}"), None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Config, Vec<Problem>), Problems> {
        Config::parse(Path::new("proxy.yaml"), text, Path::new(""), &|name| {
            (name == "PORT").then(|| "1143".to_owned())
        })
    }

    fn faults(text: &str) -> Vec<String> {
        let problems = parse(text).map_or_else(|problems| problems.0, |(_, warnings)| warnings);
        problems
            .iter()
            .filter(|p| p.code.severity() == Severity::Error)
            .map(|p| format!("{}:{} {}", p.line, p.column, p.code))
            .collect()
    }

    #[test]
    fn the_smallest_file_is_read() {
        let text = "listeners: ['imaps://0.0.0.0:993', 'imap://127.0.0.1:${PORT}']\n\
                    backends: {old: imap://10.0.0.5, new: imaps://store.example.net}\n\
                    users:\n  alice@example.com: new\n  \"*\": old\n";
        let (config, warnings) = parse(text).unwrap();
        assert_eq!(warnings[0].code, Code::W002);
        assert_eq!(config.listeners[1].bind.port(), 1143);
        assert_eq!(config.listeners[1].name, "imap://127.0.0.1:1143");
        assert_eq!(config.backends["old"].hosts[0].name, "10.0.0.5");
        assert_eq!(config.routes.map.len(), 2);
        assert_eq!(config.limits.per_ip, 100);
    }

    #[test]
    fn a_header_may_be_in_a_file() {
        let dir = std::env::temp_dir().join(format!("gatepost-header-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("key"), "k3y\n").unwrap();
        std::fs::write(dir.join("lines"), "k3y\nmore\n").unwrap();
        let with = |header: &str| {
            let text = format!(
                "listeners: ['imap://127.0.0.1:1']\nbackends: {{b: imap://h}}\n\
                 users_from: [{{ http: http://l, headers: {{ X-A: text, X-Key: {header} }} }}]\n"
            );
            Config::parse(Path::new("proxy.yaml"), &text, &dir, &|_| None)
        };
        let (config, _) = with("{ file: key }").unwrap();
        let headers = &config.routes.lookups[0].headers;
        let sent: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        assert_eq!(sent, [("x-a", &b"text"[..]), ("x-key", b"k3y")]);
        for (header, code) in [
            ("{ file: none }", Code::E040),
            ("{ file: lines }", Code::E041),
            ("{ files: key }", Code::E010),
            ("[key]", Code::E013),
        ] {
            let problems = with(header).unwrap_err().0;
            assert!(
                problems.iter().any(|it| it.code == code),
                "{header}: {problems:?}"
            );
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// A certificate that clients are shown, too, is watched for what else it is used for.
    #[test]
    fn a_file_is_left_to_its_users_only_where_nobody_else_uses_it() {
        let dir = std::env::temp_dir().join(format!("gatepost-watch-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let pair = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        std::fs::write(dir.join("crt"), pair.cert.pem()).unwrap();
        std::fs::write(dir.join("key"), pair.signing_key.serialize_pem()).unwrap();
        let watched = |backend: &str, listener: &str| {
            let text = format!(
                "listeners: [{{ bind: 'imaps://127.0.0.1:1'{listener} }}]\n\
                 tls: {{ cert: crt, key: key }}\nusers_from: [{{ http: http://l }}]\n\
                 backends: {{ b: {{ hosts: ['imaps://127.0.0.1:2'], tls: {{ name: h{backend} }} }} }}\n"
            );
            let (read, files) = super::parse(Path::new("p"), &text, &dir, &|_| None);
            read.unwrap();
            let names = files.iter().map(|it| it.0.file_name().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert!(watched("", "").is_empty());
        assert_eq!(watched(", cert: crt, key: key", ""), ["crt", "key"]);
        assert_eq!(watched(", ca: crt", ""), ["crt"]);
        assert_eq!(watched("", ", client_ca: crt"), ["crt"]);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn keys_without_their_quotes_are_named_and_the_rest_is_checked() {
        let text = "listeners: ['imap://127.0.0.1:1']\nbackends: {b: imap://h}\n\
                    users:\n  @a.org: b\n  @*.b.org: {backend: c}\n  *: b\n";
        assert_eq!(
            faults(text),
            ["4:3 E003", "5:3 E003", "5:23 E011", "6:3 E003"]
        );
    }

    #[test]
    fn a_bare_cr_ends_a_line() {
        let text =
            "listeners: [\r  imap://127.0.0.1:1]\rbackends: { b: imap://h }\r\nusers: { a: c }\n";
        let problems = parse(text).unwrap_err().0;
        let told: Vec<_> = { problems.iter() }
            .filter(|p| p.code == Code::E011)
            .map(|p| (p.line, p.source.as_str(), &p.source[p.marked.clone()]))
            .collect();
        assert_eq!(told, [(4, "users: { a: c }", "c")]);
    }

    /// Numbers below what is asked for that look random, the same in every run (xorshift64).
    pub(in crate::config) fn chance() -> impl FnMut(usize) -> usize {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        }
    }

    /// Octets that mean something to YAML, to our values, to nobody.
    const ODD: [&str; 16] = [
        "@",
        "*",
        "&",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "\n",
        "  ",
        "\"",
        "${",
        "é",
        "\u{1F600}",
        "\t",
        "- ",
    ];

    #[test]
    fn damaged_files_are_told_without_panic() {
        let good = include_str!("../../tests/config/everything.yaml");
        let mut next = chance();
        for _ in 0..600 {
            let mut text = good.to_owned();
            for _ in 0..=next(3) {
                let mut at = next(text.len());
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                match next(3) {
                    0 => text.truncate(at),
                    1 => text.insert_str(at, ODD[next(ODD.len())]),
                    _ => {
                        let end = text[at..].char_indices().nth(1 + next(20));
                        let end = end.map_or(text.len(), |(length, _)| at + length);
                        text.replace_range(at..end, ODD[next(ODD.len())]);
                    }
                }
                if text.is_empty() {
                    break;
                }
            }
            let problems = parse(&text).map_or_else(|problems| problems.0, |(_, w)| w);
            for problem in problems {
                assert!(problem.render(Colour::No).contains(problem.code.as_str()));
                assert!(!problem.to_string().contains('\n'), "{problem}");
                problem.json();
            }
        }
    }
}
