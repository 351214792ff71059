//! What the keys at a place mean together, and what a value may not be besides what its kind says: as
//! JSON Schema has it. What no rule can say is left to `check`.

use serde_json::{Map, Value};

/// The rules for the maps at a place.
pub(super) fn of_map(place: &str) -> Map<String, Value> {
    at(place, OF_MAPS)
}

/// The rules for the values at a place.
pub(super) fn of_value(place: &str) -> Map<String, Value> {
    at(place, OF_VALUES)
}

fn at(place: &str, rules: &[(&str, &str)]) -> Map<String, Value> {
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
