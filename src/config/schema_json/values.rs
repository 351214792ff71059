//! Single values by their kind: the YAML types that each may have, and what its text looks like.

use serde_json::{Value, json};

use crate::config::pending;
use crate::config::schema::Leaf;
use crate::protocol::pop3::config::UidlFormat;

/// A host, and a port if need be.
macro_rules! authority {
    () => {
        r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(?::0*[1-9][0-9]{0,4})?/?"
    };
}

/// `${NAME}`: the value is typed after the variable was put in, so nothing more can be said of it.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}";

/// Of a backend, a host, a listener.
pub(super) const NAME: &str = r#"^[^\s"]+$"#;

/// `*`, a `/pattern/`, `@domain`, `@*.domain`, or a user.
pub(super) const USER_KEY: &str = r"^(?:\*|/.+/|@(?:\*\.)?[^\s@*/.][^\s@*/]*|[^*/@].*)$";

/// A single value; adds the YAML types that it may have.
pub(super) fn scalar(leaf: Leaf, types: &mut Vec<&str>) -> Value {
    let string = |pattern: &str| json!({ "pattern": format!("^(?:{pattern})$|{VARIABLE}") });
    let any = json!({ "minLength": 1 });
    let pattern = match leaf {
        Leaf::Bool => {
            types.push("boolean");
            types.push("string");
            return json!({ "pattern": VARIABLE });
        }
        Leaf::Count(least, most) => {
            types.push("integer");
            types.push("string");
            return json!({ "minimum": least, "maximum": most, "pattern": VARIABLE });
        }
        Leaf::Size(least, most) => {
            types.push("integer");
            types.push("string");
            return json!({
                "minimum": least, "maximum": most,
                "pattern": format!("^[0-9]+{}$|{VARIABLE}", units(most))
            });
        }
        // What stands in names may look like a number.
        Leaf::Name | Leaf::Backend | Leaf::Domain => {
            types.push("string");
            types.push("integer");
            return match leaf {
                Leaf::Name => json!({ "pattern": NAME }),
                Leaf::Domain => string(r#"[^\s@/:,;."'()\[\]{}][^\s@/:,;"'()\[\]{}]*"#),
                _ => any,
            };
        }
        Leaf::Word(words) => {
            types.push("string");
            let words: Vec<&str> = words
                .iter()
                .copied()
                .filter(|word| *word != "submission" || pending::SUBMISSION.is_none())
                .collect();
            let mut value = string(&words.join("|").replace('.', r"\."));
            value["examples"] = json!(words);
            return value;
        }
        Leaf::Line | Leaf::Secret | Leaf::File(_) | Leaf::Path => {
            types.push("string");
            return any;
        }
        Leaf::Duration(0) => format!("0+(?:ms|s|m|h)|{TIME}"),
        Leaf::Duration(_) => TIME.to_owned(),
        Leaf::Rate => format!("0*[1-9][0-9]{{0,9}}/(?:{TIME})"),
        Leaf::Network => r"[0-9.]+(?:/[0-9]+)?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:/[0-9]+)?".to_owned(),
        Leaf::Address => r"(?:[0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}".to_owned(),
        Leaf::Listen => format!(
            r"(?:imaps?|pop3s?{})://(?:[0-9.]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?/?",
            submission("|submissions?")
        ),
        Leaf::Host => format!(r"(?:{IMAP}|{POP3}{})|demo:///?", with_submission()),
        Leaf::Endpoint("imap") => format!("{IMAP}|demo:///?"),
        Leaf::Endpoint("pop3") => POP3.to_owned(),
        Leaf::Endpoint(_) => SUBMISSION.to_owned(),
        Leaf::Http => r"https?://\S+".to_owned(),
        Leaf::State => "memory|file:///.*|rediss?://.+".to_owned(),
        Leaf::Uidl => uidl(),
        Leaf::Pin => "sha256/[A-Za-z0-9+/]{43}=".to_owned(),
    };
    types.push("string");
    string(&pattern)
}

const IMAP: &str = concat!(r"imap(?:s|\+starttls)?://", authority!());
const POP3: &str = concat!(r"pop3(?:s|\+starttls)?://", authority!());
const SUBMISSION: &str = concat!(r"submission(?:s|\+starttls)?://", authority!());

/// More than no time, and hardly more than a year.
const TIME: &str = "0*(?:[1-9][0-9]{0,10}ms|[1-9][0-9]{0,7}s|[1-9][0-9]{0,5}m|[1-9][0-9]{0,3}h)";

/// The units of a size, if it may be as large as one of them.
fn units(most: u64) -> &'static str {
    match most {
        0x4000_0000.. => "(?:KiB|MiB|GiB)?",
        0x10_0000.. => "(?:KiB|MiB)?",
        _ => "(?:KiB)?",
    }
}

/// A preset, or printable text with a variable that differs from message to message.
fn uidl() -> String {
    let part = r"[!-z|~]|\{(?:uid(?:validity)?(?::hex8?)?|emailid)\}";
    format!(
        r"{}|(?:{part})*\{{(?:uid(?::hex8?)?|emailid)\}}(?:{part})*",
        UidlFormat::PRESETS.join("|")
    )
}

fn submission(pattern: &str) -> &str {
    match pending::SUBMISSION {
        Some(_) => "",
        None => pattern,
    }
}

fn with_submission() -> String {
    match pending::SUBMISSION {
        Some(_) => String::new(),
        None => format!("|{SUBMISSION}"),
    }
}
