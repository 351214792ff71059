//! The words of the users map: keys, and templates of login names.
//!
//! Both are parsed once, when the settings are read; what is wrong with them is said in the terms of
//! the file.

use std::fmt::Write as _;

use regex::{Captures, Regex, RegexBuilder};

use crate::protocol::UserName;

/// Largest compiled pattern in octets. A pattern of a users map takes a few KiB; Unicode classes with
/// large counts reach megabytes, and there may be thousands of patterns.
const PATTERN_SIZE: usize = 1024 * 1024;

/// A key of the users map, most specific kind first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// `alice@example.com`
    Exact(&'a str),
    /// `@example.org`, without the `@`.
    Domain(&'a str),
    /// `@*.example.org`, without the `@*.`: any depth below, not the domain itself.
    Below(&'a str),
    /// `/regex/`, without the slashes.
    Pattern(&'a str),
    /// `*`
    Default,
}

impl<'a> Key<'a> {
    /// Reads a key; the error says what is expected.
    pub fn parse(key: &'a str) -> Result<Self, &'static str> {
        if key == "*" {
            return Ok(Key::Default);
        }
        if let Some(pattern) = key.strip_prefix('/') {
            return match pattern.strip_suffix('/') {
                Some("") | None => {
                    Err("expected a pattern between two slashes, like `/^a.*@example\\.org$/`")
                }
                Some(pattern) => Ok(Key::Pattern(pattern)),
            };
        }
        if let Some(domain) = key.strip_prefix("@*.") {
            return Ok(Key::Below(plain_domain(domain)?));
        }
        if let Some(domain) = key.strip_prefix('@') {
            return Ok(Key::Domain(plain_domain(domain)?));
        }
        if key.starts_with('*') {
            return Err(
                "expected `@example.org` for a domain, `@*.example.org` for those below it, or `*` alone",
            );
        }
        match UserName::check(key.as_bytes()) {
            Ok(_) => Ok(Key::Exact(key)),
            Err(_) => {
                Err("expected a user name: not empty, no control characters, at most 512 octets")
            }
        }
    }
}

fn plain_domain(domain: &str) -> Result<&str, &'static str> {
    let bad = domain.is_empty()
        || domain.len() > UserName::MAX
        || domain.starts_with('.')
        || domain
            .chars()
            .any(|c| matches!(c, '@' | '*' | '/') || c.is_whitespace() || c.is_control());
    if bad {
        return Err("expected a domain behind the `@`, like `@example.org` or `@*.example.org`");
    }
    Ok(domain)
}

/// Compiles a pattern: linear time, bounded size, without regard to case, anchored only as written.
/// The error is one line.
pub fn pattern(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .size_limit(PATTERN_SIZE)
        .dfa_size_limit(PATTERN_SIZE)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => {
                "the pattern needs more than 1 MiB when compiled".to_owned()
            }
            // The regex crate draws the pattern with a caret first; the reason is its last line.
            other => {
                let text = other.to_string();
                let reason = text.lines().last().unwrap_or_default();
                reason.trim_start_matches("error: ").to_owned()
            }
        })
}

/// A login name with `{user}`, `{local}`, `{domain}` and named groups to be filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template(String);

impl Template {
    /// Reads a template. `groups` are the named groups of the entry's pattern. The error says what is
    /// expected.
    pub fn new(text: &str, groups: &[&str]) -> Result<Self, String> {
        if text.is_empty() {
            return Err("expected a login name, got nothing".into());
        }
        if text.len() > 2 * UserName::MAX || text.chars().any(char::is_control) {
            return Err("expected a login name without control characters".into());
        }
        for part in parts(text) {
            match part {
                Part::Text(text) if text.contains(['{', '}']) => {
                    return Err("expected every `{` to be closed by a `}`".into());
                }
                Part::Name(name)
                    if !matches!(name, "user" | "local" | "domain") && !groups.contains(&name) =>
                {
                    let mut message = "expected {user}, {local}, {domain}".to_owned();
                    for group in groups {
                        let _ = write!(message, ", {{{group}}}");
                    }
                    let _ = write!(message, ", got {{{name}}}");
                    return Err(message);
                }
                _ => {}
            }
        }
        Ok(Template(text.into()))
    }

    /// One that was read before, from where it is kept.
    pub(super) fn kept(text: &str) -> Self {
        Template(text.into())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Fills it in; the error is for the log. What is filled in is not looked at again.
    pub fn fill(&self, user: &UserName, groups: Option<&Captures<'_>>) -> Result<UserName, String> {
        let mut name = String::with_capacity(self.0.len() + user.as_str().len());
        for part in parts(&self.0) {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Name("user") => name.push_str(user.as_str()),
                Part::Name("local") => name.push_str(user.local()),
                Part::Name("domain") => match user.domain() {
                    Some(domain) => name.push_str(domain),
                    None => {
                        return Err("the login template uses {domain}, the name has none".into());
                    }
                },
                Part::Name(group) => {
                    let value = groups.and_then(|groups| groups.name(group));
                    name.push_str(value.map_or("", |value| value.as_str()));
                }
            }
        }
        UserName::new(name.as_bytes())
            .map_err(|unfit| format!("the login template gives no valid name: {unfit:?}"))
    }
}

enum Part<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Cuts a template at its braces. A brace without its partner stays in a `Text`.
fn parts(mut text: &str) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        if let Some((name, rest)) = text.strip_prefix('{').and_then(|t| t.split_once('}'))
            && !name.contains('{')
        {
            text = rest;
            return Some(Part::Name(name));
        }
        let skip = usize::from(text.starts_with('{'));
        let end = text
            .get(skip..)
            .and_then(|t| t.find('{'))
            .map_or(text.len(), |at| at + skip);
        let (part, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        text = rest;
        Some(Part::Text(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (key, want) in [
            ("alice@example.com", Key::Exact("alice@example.com")),
            ("bob", Key::Exact("bob")),
            ("bob*master", Key::Exact("bob*master")),
            ("@example.org", Key::Domain("example.org")),
            ("@*.example.org", Key::Below("example.org")),
            ("/^a/", Key::Pattern("^a")),
            ("/a/b/", Key::Pattern("a/b")),
            ("*", Key::Default),
        ] {
            assert_eq!(Key::parse(key), Ok(want), "{key}");
        }
        for key in [
            "", "@", "@*.", "@*", "@a@b", "@.b", "@a b", "*@b", "*.b", "/", "//", "/a", "a\rb",
        ] {
            assert!(Key::parse(key).is_err(), "{key}");
        }
    }

    #[test]
    fn patterns() {
        assert!(pattern("^a(?<n>b)$").unwrap().is_match("AB"));
        assert_eq!(pattern("a(").unwrap_err(), "unclosed group");
        assert!(pattern(r"(?=a)").unwrap_err().contains("look-around"));
        assert!(pattern(r"\w{999}{999}").unwrap_err().contains("1 MiB"));
    }

    #[test]
    fn templates() {
        let user = UserName::new(b"Al{user}@Old.example").unwrap();
        let regex = pattern("^(?<n>[^@]+)(?<none>x)?@").unwrap();
        let groups = regex.captures(user.as_str());
        for (template, want) in [
            ("{local}@new.example", Ok("Al{user}@new.example")),
            ("{user}", Ok("Al{user}@Old.example")),
            ("x{domain}{n}y", Ok("xOld.exampleAl{user}y")),
            ("{none}", Err(())),
            ("bob", Ok("bob")),
        ] {
            let template = Template::new(template, &["n", "none"]).unwrap();
            let got = template.fill(&user, groups.as_ref());
            assert_eq!(
                got.as_ref().map(UserName::as_str).map_err(|_| ()),
                want,
                "{template:?}"
            );
        }
        let bare = UserName::new(b"bob").unwrap();
        let template = Template::new("{domain}", &[]).unwrap();
        assert!(template.fill(&bare, None).is_err());
        for bad in [
            "", "{", "}", "a{b", "{userr}", "{{user}", "a}b", "{}", "a\nb",
        ] {
            assert!(Template::new(bad, &[]).is_err(), "{bad}");
        }
    }
}
