//! What is wrong with proxy.yaml: codes that stay the same for ever, places, and how they are shown.
//!
//! A [`Problem`] stands alone: it keeps the one source line it points at, with secrets masked.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::mask;

/// Most problems that are kept; a map file with a million bad lines must not fill the memory.
pub const MOST: usize = 1000;

/// Whether a problem stops the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing starts.
    Error,
    /// It is said at every start.
    Warning,
}

macro_rules! codes {
    ($($code:ident $meaning:literal)*) => {
        /// A stable code. Numbers are never given a second meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each has its meaning as its doc")]
        pub enum Code { $(#[doc = $meaning] $code,)* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Code] = &[$(Code::$code),*];

            /// `E011`
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$code => stringify!($code),)* }
            }

            /// What it means, in one line.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$code => $meaning,)* }
            }
        }
    };
}

codes! {
    E001 "the file cannot be read, is too large, or is not UTF-8"
    E002 "the file is not YAML"
    E003 "a key that YAML needs quoted (`\"@…\"`, `\"*\"`) is not"
    E004 "the same key twice"
    E005 "an environment variable is not set, or `${NAME}` is not well-formed"
    E006 "the file asks for too much: aliases, nesting, documents"
    E010 "an unknown key"
    E011 "no backend has this name"
    E012 "a key is missing"
    E013 "a value of the wrong type"
    E014 "a word that is not one of the choices"
    E015 "an empty list or map where something is needed"
    E016 "two keys that exclude each other"
    E020 "a bad URL or address"
    E021 "a bad duration"
    E022 "a bad size"
    E023 "a bad rate"
    E024 "a bad network"
    E025 "a bad number, or one out of range"
    E026 "a bad text or name"
    E027 "a pattern that does not compile"
    E028 "a bad login template"
    E029 "a bad key of the users map"
    E030 "a bad uidl template"
    E031 "a bad pin"
    E032 "a bad domain"
    E033 "the backend has no host of this name"
    E034 "a capability the gateway cannot keep"
    E040 "a file that is named cannot be read"
    E041 "a file that is named does not hold what it should"
    E042 "a file that is named cannot be written"
    E050 "two listeners want the same address and port"
    E051 "the same name twice"
    E052 "the admin port is off loopback and has no token"
    E053 "a master login without `authenticate` would let anyone in"
    E054 "a client certificate is asked for that could log in nowhere"
    E060 "a feature that is not there yet"
    E070 "a reload that cannot be: an address is taken, the log cannot be opened, the gateway ends"
    W001 "certificates of a backend are not verified"
    W002 "no certificate is configured: a self-signed one is made at start"
    W003 "a private key can be read by every user of the machine"
    W004 "passwords may be sent in clear text"
    W005 "a backend has settings of TLS, and no host with which TLS is spoken"
    W006 "more connections are allowed than the limit of open files does"
    W007 "a user without a domain in the map, where every name has one by `default_domain`"
    W008 "capabilities without STARTTLS or STLS where no login is allowed before it"
}

impl Code {
    /// `E…` stops the start, `W…` does not.
    pub fn severity(self) -> Severity {
        match self.as_str().starts_with('E') {
            true => Severity::Error,
            false => Severity::Warning,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its code.
    pub code: Code,
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// Line, from 1; 0 where the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 where the whole file is meant.
    pub column: u32,
    /// The source line, secrets masked.
    pub source: String,
    /// The octets of `source` that are marked.
    pub marked: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// What was expected, in one line; may be empty.
    pub expected: String,
    /// What to do, in one line.
    pub help: Option<String>,
}

/// Every problem of a file and of the files it names; not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    Yes,
    /// For files, pipes and `NO_COLOR`.
    No,
}

impl Problem {
    /// Of a file as a whole.
    pub fn of_file(file: &Path, code: Code, message: impl Into<String>) -> Self {
        Problem {
            code,
            file: file.into(),
            line: 0,
            column: 0,
            source: String::new(),
            marked: 0..0,
            message: message.into(),
            expected: String::new(),
            help: None,
        }
    }

    /// The problem as people read it: the source line with the place marked, over several lines.
    pub fn render(&self, colour: Colour) -> String {
        let level = match self.code.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = self.file.display().to_string();
        let mut group = level.primary_title(&*self.message).id(self.code.as_str());
        let mut report = Vec::new();
        if self.line > 0 {
            let end = self.marked.end.min(self.source.len());
            let marked = self.marked.start.min(end)..end;
            let mark = AnnotationKind::Primary.span(marked);
            let mark = match self.expected.is_empty() {
                true => mark,
                false => mark.label(&*self.expected),
            };
            let snippet = Snippet::source(&*self.source)
                .path(&*path)
                .line_start(self.line as usize)
                .annotation(mark);
            let group = group.element(snippet);
            report.push(match &self.help {
                Some(help) => group.element(Level::HELP.message(&**help)),
                None => group,
            });
        } else {
            group = group.id(self.code.as_str());
            let mut group = group.element(annotate_snippets::Origin::path(&*path));
            if !self.expected.is_empty() {
                group = group.element(Level::NOTE.message(&*self.expected));
            }
            if let Some(help) = &self.help {
                group = group.element(Level::HELP.message(&**help));
            }
            report.push(group);
        }
        let renderer = match colour {
            Colour::Yes => Renderer::styled(),
            Colour::No => Renderer::plain(),
        };
        renderer.render(&report).to_string()
    }

    /// The problem for editors and machines.
    pub fn json(&self) -> serde_json::Value {
        let length = self.source.get(self.marked.clone()).unwrap_or_default();
        serde_json::json!({
            "severity": match self.code.severity() {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "code": self.code.as_str(),
            "file": self.file.display().to_string(),
            "line": self.line,
            "column": self.column,
            "length": length.chars().count(),
            "message": self.message,
            "expected": self.expected,
            "help": self.help,
        })
    }
}

/// One line, for the log: `proxy.yaml:3:5: E011: …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}: {}", self.code, self.message)?;
        if !self.expected.is_empty() {
            write!(f, "; {}", self.expected)?;
        }
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// User-written text in a message: in back ticks, on one line, cut, the password of a URL masked.
pub fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    let text = mask::urls(text);
    let mut out = String::from("`");
    for (n, c) in text.chars().enumerate() {
        if n == MOST {
            out.push('…');
            break;
        }
        match c.is_control() {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out.push('`');
    out
}

/// The nearest of some names, as "did you mean …?".
pub fn did_you_mean<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let name = name.to_lowercase();
    names
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| format!("did you mean {}?", quoted(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_ordered_and_said_once() {
        let names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(names, sorted);
        assert_eq!(Code::E011.severity(), Severity::Error);
        assert_eq!(Code::W001.severity(), Severity::Warning);
    }

    #[test]
    fn suggestions_come_from_near_names_only() {
        let names = ["listeners", "backends", "users"];
        let mean = |name| did_you_mean(name, names);
        assert_eq!(
            mean("listners").as_deref(),
            Some("did you mean `listeners`?")
        );
        assert_eq!(mean("Backend").as_deref(), Some("did you mean `backends`?"));
        assert_eq!(mean("zzz"), None);
    }
}
