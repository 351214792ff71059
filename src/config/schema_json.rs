//! The description of proxy.yaml as a JSON Schema (draft-07, which every version of Helm and every
//! editor reads): closed maps, words and patterns for single values.
//!
//! It refuses nothing that `check` accepts. What keys mean together it says where a schema can;
//! names of backends and files are left to `check`. What may be said in several ways is one schema
//! with several types and no choice between schemas, so that a validator names the key that is
//! wrong.

use serde_json::{Map, Value, json};

use super::pending::{self, pending};
use super::schema::{self, Keys, Leaf, Need, Shape};
use crate::protocol::pop3::config::UidlFormat;

/// A host, and a port if need be.
macro_rules! authority {
    () => {
        r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]]+)(?::0*[1-9][0-9]{0,4})?/?"
    };
}

/// `${NAME}`: the value is typed after the variable was put in, so nothing more can be said of it.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}";

/// The schema of proxy.yaml.
pub fn schema() -> Value {
    let mut root = shape(&schema::ROOT, "");
    root.insert(
        "$schema".into(),
        "http://json-schema.org/draft-07/schema#".into(),
    );
    root.insert("title".into(), "proxy.yaml of Gatepost".into());
    Value::Object(root)
}

fn shape(shape: &Shape, place: &str) -> Map<String, Value> {
    let mut out = Map::new();
    let mut types: Vec<&str> = Vec::new();
    let mut constraints = Vec::new();
    if let Some(leaf) = shape.scalar {
        constraints.push(scalar(leaf, &mut types));
    }
    if let Some(of) = shape.list {
        types.push("array");
        let below = format!("{place}[]");
        let mut list = json!({ "items": self::shape(of, &below) });
        if matches!(
            place,
            "listeners" | "backends.*" | "backends.*.hosts" | "backends.*.protocols"
        ) {
            list["minItems"] = 1.into();
        }
        constraints.push(list);
    }
    if let Some(keys) = &shape.map {
        types.push("object");
        constraints.push(map(keys, place));
    }
    out.insert(
        "type".into(),
        match types.as_slice() {
            [one] => (*one).into(),
            several => several.into(),
        },
    );
    for constraint in constraints {
        if let Value::Object(constraint) = constraint {
            out.extend(constraint);
        }
    }
    out.extend(together(place, OF_VALUES));
    out
}

fn map(keys: &Keys, place: &str) -> Value {
    let known = match keys {
        Keys::Any => return json!({}),
        Keys::Free(value) => {
            let below = format!("{place}.*");
            let mut free = json!({ "additionalProperties": shape(value, &below) });
            if place == "backends" {
                free["minProperties"] = 1.into();
                free["propertyNames"] = json!({ "pattern": NAME });
            }
            if place == "users" {
                free["propertyNames"] = json!({ "pattern": USER_KEY });
            }
            return free;
        }
        Keys::Known(known) => known,
    };
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in *known {
        let below = match place {
            "" => key.name.to_owned(),
            place => format!("{place}.{}", key.name),
        };
        let endpoint = matches!(key.shape.scalar, Some(Leaf::Endpoint("submission")));
        if pending(&below).is_some() || (endpoint && pending::SUBMISSION.is_some()) {
            continue;
        }
        let mut value = shape(key.shape, &below);
        let about = format!("{}: {}", key.about, key.shape.what);
        value.insert("description".into(), about.into());
        properties.insert(key.name.into(), value.into());
        if key.need == Need::Required {
            required.push(key.name);
        }
    }
    let mut out = json!({ "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    if let Value::Object(out) = &mut out {
        out.extend(together(place, OF_MAPS));
    }
    out
}

/// The rules of a place.
fn together(place: &str, rules: &[(&str, &str)]) -> Map<String, Value> {
    rules
        .iter()
        .filter(|(at, _)| *at == place)
        .filter_map(|(_, rule)| serde_json::from_str::<Map<String, Value>>(rule).ok())
        .flatten()
        .collect()
}

/// What keys of a map mean together. Other types than maps pass them all.
const OF_MAPS: &[(&str, &str)] = &[
    (
        "tls",
        r#"{ "dependencies": { "cert": ["key"], "key": ["cert"] },
             "if": { "required": ["cert"] }, "then": { "properties": { "certificates": false } } }"#,
    ),
    (
        "backends.*.tls",
        r#"{ "dependencies": { "cert": ["key"], "key": ["cert"] } }"#,
    ),
    (
        "backends.*",
        r#"{ "if": { "properties": { "discover": false } }, "then": { "required": ["hosts"] },
             "else": { "properties": { "hosts": false } } }"#,
    ),
    (
        "backends.*.hosts[]",
        r#"{ "if": { "properties": { "imap": false, "pop3": false, "submission": false } },
             "then": { "required": ["imap"] } }"#,
    ),
    (
        "backends.*.health.login",
        r#"{ "if": { "properties": { "password": false } }, "then": { "required": ["password_file"] },
             "else": { "properties": { "password_file": false } } }"#,
    ),
    (
        "backends.*.login_as",
        r#"{ "if": { "required": ["master"], "properties": { "password": false } },
             "then": { "required": ["password_file"] } }"#,
    ),
    (
        "users.*",
        r#"{ "if": { "properties": { "reject": false } }, "then": { "required": ["backend"] },
             "else": { "properties": { "backend": false, "login": false, "host": false } } }"#,
    ),
    (
        "users_from[]",
        r#"{ "if": { "properties": { "http": false } },
             "then": { "required": ["file"],
                       "properties": { "timeout": false, "cache": false, "headers": false } },
             "else": { "properties": { "file": false } } }"#,
    ),
    (
        "state",
        r#"{ "if": { "required": ["password"] }, "then": { "properties": { "password_file": false } } }"#,
    ),
    ("log.transcript", r#"{ "minProperties": 1 }"#),
    (
        "admin",
        // Off loopback without a token, whoever reaches the port could end sessions.
        r#"{ "if": { "properties": { "bind": { "pattern": "^(127\\.|\\[::1\\]:)|\\$\\{" },
                                     "token_file": false } },
             "then": true,
             "else": { "if": { "required": ["token"] }, "then": true,
                       "else": { "required": ["token_file"] } } }"#,
    ),
];

/// What single values may not be, besides what their kind says.
const OF_VALUES: &[(&str, &str)] = &[
    (
        // What is found by a name is no address, and not the built-in store.
        "backends.*.discover",
        r#"{ "not": { "pattern": "^[^:]+://(?:[0-9]{1,3}(?:\\.[0-9]{1,3}){3}|\\[[^\\]]*\\])(?::[0-9]+)?/?$|^demo:" } }"#,
    ),
    (
        // Mechanisms and extensions that the gateway cannot keep.
        "listeners[].capabilities[]",
        r#"{ "if": { "pattern": "^[Aa][Uu][Tt][Hh]=" },
             "then": { "pattern": "=(?:[Pp][Ll][Aa][Ii][Nn]|[Ll][Oo][Gg][Ii][Nn]|[Xx][Oo][Aa][Uu][Tt][Hh]2|[Oo][Aa][Uu][Tt][Hh][Bb][Ee][Aa][Rr][Ee][Rr]|[Ee][Xx][Tt][Ee][Rr][Nn][Aa][Ll]|[Ss][Cc][Rr][Aa][Mm]-[Ss][Hh][Aa]-(?:1|256))$" },
             "else": { "not": { "pattern": "^(?:[Cc][Oo][Mm][Pp][Rr][Ee][Ss][Ss]=|[Aa][Pp][Oo][Pp]$)" } } }"#,
    ),
];

/// Of a backend, a host, a listener.
const NAME: &str = r#"^[^\s"]+$"#;

/// `*`, a `/pattern/`, `@domain`, `@*.domain`, or a user.
const USER_KEY: &str = r"^(?:\*|/.+/|@(?:\*\.)?[^\s@*/.][^\s@*/]*|[^*/@].*)$";

/// A single value; adds the YAML types that it may have.
fn scalar(leaf: Leaf, types: &mut Vec<&str>) -> Value {
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
        Leaf::Rate => format!("0*[0-9]{{1,10}}/(?:{TIME})"),
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::node::{Kind, Node};
    use super::super::yaml;
    use super::*;

    /// The tree as a JSON tool reads it.
    fn json_of(node: &Node) -> Value {
        match &node.kind {
            Kind::Null | Kind::Broken => Value::Null,
            Kind::Bool(it) => (*it).into(),
            Kind::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
            Kind::Text(text) => json!(text),
            Kind::Filled(filled) => json!(filled.written),
            Kind::List(items) => items.iter().map(json_of).collect(),
            Kind::Map(entries) => {
                let entry = |(k, v): &(Node, Node)| (k.shown().to_owned(), json_of(v));
                Value::Object(entries.iter().map(entry).collect())
            }
        }
    }

    /// What a validator says: the places that are wrong. Knows the keywords that are used here.
    fn faults(value: &Value, schema: &Value, at: &str, out: &mut Vec<String>) {
        let Value::Object(schema) = schema else {
            if schema == &Value::Bool(false) {
                out.push(format!("{at}: not allowed"));
            }
            return;
        };
        let fine = |schema: &Value| {
            let mut said = Vec::new();
            faults(value, schema, at, &mut said);
            said.is_empty()
        };
        for (keyword, rule) in schema {
            let mut say = |text: &str| out.push(format!("{at}: {text}"));
            match (keyword.as_str(), value) {
                ("type", _) => {
                    let is = match value {
                        Value::Null => "null",
                        Value::Bool(_) => "boolean",
                        Value::Number(n) if n.is_u64() || n.is_i64() => "integer",
                        Value::Number(_) => "number",
                        Value::String(_) => "string",
                        Value::Array(_) => "array",
                        Value::Object(_) => "object",
                    };
                    let types = rule.as_array().cloned().unwrap_or(vec![rule.clone()]);
                    if !types.contains(&json!(is)) {
                        say(&format!("expected {rule}, got {is}"));
                    }
                }
                ("pattern", Value::String(text)) => {
                    let pattern = rule.as_str().unwrap();
                    if !regex::Regex::new(pattern).unwrap().is_match(text) {
                        say(&format!("{text} does not match {pattern}"));
                    }
                }
                ("minLength", Value::String(text)) if text.is_empty() => say("empty"),
                ("minimum", Value::Number(n)) if n.as_f64() < rule.as_f64() => say("too small"),
                ("maximum", Value::Number(n)) if n.as_f64() > rule.as_f64() => say("too large"),
                ("minItems", Value::Array(items)) if items.is_empty() => say("empty"),
                ("minProperties", Value::Object(map)) if map.is_empty() => say("empty"),
                ("items", Value::Array(items)) => {
                    for (n, item) in items.iter().enumerate() {
                        faults(item, rule, &format!("{at}.{n}"), out);
                    }
                }
                ("properties", Value::Object(map)) => {
                    for (key, below) in rule.as_object().unwrap() {
                        if let Some(value) = map.get(key) {
                            faults(value, below, &format!("{at}.{key}"), out);
                        }
                    }
                }
                ("additionalProperties", Value::Object(map)) => {
                    let known = schema.get("properties").and_then(Value::as_object);
                    for (key, value) in map {
                        if !known.is_some_and(|known| known.contains_key(key)) {
                            faults(value, rule, &format!("{at}.{key}"), out);
                        }
                    }
                }
                ("required", Value::Object(map)) => {
                    for key in rule.as_array().unwrap() {
                        if !map.contains_key(key.as_str().unwrap()) {
                            say(&format!("{key} is missing"));
                        }
                    }
                }
                ("dependencies", Value::Object(map)) => {
                    for (key, needs) in rule.as_object().unwrap() {
                        let need = needs[0].as_str().unwrap();
                        if map.contains_key(key) && !map.contains_key(need) {
                            say(&format!("{need} is missing"));
                        }
                    }
                }
                ("propertyNames", Value::Object(map)) => {
                    for key in map.keys() {
                        faults(&json!(key), rule, &format!("{at}: key"), out);
                    }
                }
                ("not", _) if fine(rule) => say("of a kind that may not be"),
                ("if", _) => {
                    let branch = if fine(rule) { "then" } else { "else" };
                    if let Some(branch) = schema.get(branch) {
                        faults(value, branch, at, out);
                    }
                }
                _ => {}
            }
        }
    }

    fn told(text: &str) -> Option<Vec<String>> {
        let mut out = Vec::new();
        faults(&json_of(&yaml::parse(text).ok()?), &schema(), "", &mut out);
        Some(out)
    }

    #[test]
    fn what_check_accepts_is_valid() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut accepted = vec![root.join("proxy.yaml")];
        let mut structure = 0;
        for file in fs::read_dir(root.join("tests/config")).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_none_or(|ext| ext != "yaml") {
                continue;
            }
            // What `check` says of it stands beside it.
            let said = fs::read_to_string(file.with_extension("txt")).unwrap();
            if !said.contains("error[") {
                accepted.push(file);
            } else if ["E010", "E012", "E013", "E014", "E021", "E023", "E060"]
                .iter()
                .any(|code| said.contains(&format!("error[{code}]")))
                && let Some(faults) = told(&fs::read_to_string(&file).unwrap())
            {
                structure += 1;
                assert!(!faults.is_empty(), "{} is valid", file.display());
            }
        }
        assert!(accepted.len() > 2 && structure > 3);
        for file in accepted {
            let faults = told(&fs::read_to_string(&file).unwrap()).unwrap();
            assert!(faults.is_empty(), "{}: {faults:#?}", file.display());
        }
    }

    #[test]
    fn a_mistake_is_told_at_its_key() {
        let file = |more: &str| {
            format!("listeners: [imap://127.0.0.1]\nbackends: {{ a: imap://h }}\n{more}")
        };
        for (more, at) in [
            ("", None),
            (
                "limits: { per_ip: 5, line: 8KiB, failed_logins: { per_ip: 100/10m } }",
                None,
            ),
            ("limits: { per_ip: '${N}' }", None),
            (
                "limits: { per_ips: 5 }",
                Some(".limits.per_ips: not allowed"),
            ),
            (
                "limits: { per_ip: '5' }",
                Some(".limits.per_ip: 5 does not"),
            ),
            ("limits: { per_ip: 0 }", Some(".limits.per_ip: too small")),
            ("timeouts: { drain: 30 }", Some(".timeouts.drain: expected")),
            (
                "timeouts: { login: 0s }",
                Some(".timeouts.login: 0s does not"),
            ),
            ("users: { a@b: [a] }", Some(".users.a@b: expected")),
            ("log: { format: yaml }", Some(".log.format: yaml does not")),
            ("admin: { bind: '127.0.0.1:9090' }", None),
            ("admin: { bind: '0.0.0.0:9090', token_file: t }", None),
            ("admin: { bind: '0.0.0.0:9090', token: t }", None),
            ("admin: { bind: '127.0.0.1:9090', token_file: t }", None),
            (
                "admin: { bind: '0.0.0.0:9090' }",
                Some(".admin: \"token_file\" is missing"),
            ),
            ("tls: { cert: c }", Some(".tls: key is missing")),
            ("state:", Some(".state: expected")),
            ("timeouts: { drain: 0s, idle: 8784h }", None),
            ("timeouts: { idle: 99999h }", Some(".timeouts.idle: 99999h")),
            (
                "limits: { line: 1MiB }",
                Some(".limits.line: 1MiB does not"),
            ),
            ("default_domain: '@a.example'", Some(".default_domain: @a")),
            ("default_domain: bücher.example", None),
            (
                "pop3: { uidl: dovcot }",
                Some(".pop3.uidl: dovcot does not"),
            ),
            ("pop3: { uidl: '{uidvalidity}' }", Some(".pop3.uidl: {uid")),
            ("pop3: { uidl: 'a-{uidvalidity:hex}-{uid}' }", None),
            (
                "users: { a@b: { login: x } }",
                Some(".users.a@b: \"backend\" is missing"),
            ),
            (
                "users: { a@b: { backend: a, reject: x } }",
                Some(".users.a@b.backend: not allowed"),
            ),
            ("users: { '*.b': a }", Some(".users: key: *.b does not")),
            ("users: { '@': a }", Some(".users: key: @ does not")),
            ("users: { '/x': a }", Some(".users: key: /x does not")),
            (
                "users: { '*': a, '@*.b': a, '/x/': a, 'o''neil': a, 5: a, 'a/b': a }",
                None,
            ),
            (
                "users_from: [{ cache: 5m }]",
                Some(".users_from.0.cache: not allowed"),
            ),
            (
                "users_from: [{ file: m, http: 'http://h/' }]",
                Some(".users_from.0.file: not allowed"),
            ),
        ] {
            let faults = told(&file(more)).unwrap();
            match at {
                None => assert!(faults.is_empty(), "{more}: {faults:?}"),
                Some(at) => {
                    assert!(faults[0].starts_with(at), "{more}: {faults:?}");
                }
            }
        }
    }

    #[test]
    fn a_mistake_of_a_backend_is_told_at_its_key() {
        let file = |backends: &str| {
            format!("listeners: [imap://127.0.0.1]\nbackends: {{ {backends} }}\nusers: {{}}\n")
        };
        for (more, at) in [
            ("a: 'imap://h:0'", Some(".backends.a: imap://h:0 does not")),
            ("a: 'imap://[::1]:143/', b: 'pop3s://h:00995'", None),
            ("'odd name': imap://h", Some(".backends: key: odd name")),
            ("a: {}", Some(".backends.a: \"hosts\" is missing")),
            (
                "a: { hosts: [imap://h], discover: imap://h }",
                Some(".backends.a.hosts: not allowed"),
            ),
            ("a: { discover: 'imap://store.svc:143' }", None),
            (
                "a: { discover: 'imap://10.0.0.1' }",
                Some(".backends.a.discover: of"),
            ),
            (
                "a: { discover: 'imaps://[::1]:993' }",
                Some(".backends.a.discover: of"),
            ),
            (
                "a: { hosts: [{ name: x }] }",
                Some(".backends.a.hosts.0: \"imap\" is missing"),
            ),
            (
                "a: { hosts: [imap://h], health: { login: { user: x } } }",
                Some(".backends.a.health.login: \"password_file\" is missing"),
            ),
            (
                "a: { hosts: [imap://h], login_as: { master: x } }",
                Some(".backends.a.login_as: \"password_file\" is missing"),
            ),
            (
                "a: { hosts: [imaps://h], tls: { cert: c } }",
                Some(".backends.a.tls: key is missing"),
            ),
        ] {
            let faults = told(&file(more)).unwrap();
            match at {
                None => assert!(faults.is_empty(), "{more}: {faults:?}"),
                Some(at) => {
                    assert_eq!(faults.len(), 1, "{more}: {faults:?}");
                    assert!(faults[0].starts_with(at), "{more}: {faults:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_there_yet_is_no_part_of_it() {
        let root = schema();
        let listener = &root["properties"]["listeners"]["items"]["properties"];
        assert!(listener.get("bind").is_some());
        for (key, there) in [
            ("proxy_protocol", listener.get("proxy_protocol").is_some()),
            ("client_ca", listener.get("client_ca").is_some()),
        ] {
            let pending = pending(&format!("listeners[].{key}")).is_some();
            assert_eq!(there, !pending, "{key}");
        }
    }
}
