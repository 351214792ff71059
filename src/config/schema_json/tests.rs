//! The schema beside what `check` says of the same files.

use std::fs;
use std::path::Path;

use super::*;
use crate::config::node::{Kind, Node};
use crate::config::yaml;

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
    let file =
        |more: &str| format!("listeners: [imap://127.0.0.1]\nbackends: {{ a: imap://h }}\n{more}");
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
