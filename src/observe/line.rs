//! One log line from its fields: for people (`event=login user=bob`) or as one flat JSON object.
//!
//! Whatever a field holds, it stays one value of one line: control characters, line separators and
//! the invisible characters that turn text around are escaped, long values are cut.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use tracing::Level;
use tracing::field::{Field, Visit};

use super::Format;

/// Longest value in octets: longer than any user name or path of ours, and a line stays under what
/// syslog takes in one datagram.
pub(super) const MAX_VALUE: usize = 1024;

/// Longest line in octets; fields beyond it are left out.
pub(super) const MAX_LINE: usize = 8 * 1024;

/// How text is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dress {
    /// For files and pipes.
    Plain,
    /// For a terminal: aligned, with colours.
    Terminal,
    /// For syslog, which has a time of its own.
    Timeless,
}

/// A value as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

/// The fields of an event or a span, in order, each name once.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// Of the line that tells how many lines there are not.
    pub(super) fn dropped(lines: u64) -> Self {
        Fields(vec![
            ("event", Value::Text("log_dropped".to_owned())),
            ("lines", Value::Unsigned(lines)),
        ])
    }

    /// Of the line that tells that a file is not opened anew.
    pub(super) fn not_reopened(file: &Path, cause: &str) -> Self {
        let file = file.display().to_string();
        Fields(vec![
            ("event", Value::Text("log_not_reopened".to_owned())),
            ("file", Value::Text(cut(&file).into_owned())),
            ("cause", Value::Text(cut(cause).into_owned())),
            (
                "hint",
                Value::Text("the file that is open stays in use".to_owned()),
            ),
        ])
    }

    fn set(&mut self, name: &'static str, value: Value) {
        if matches!(&value, Value::Text(text) if text.is_empty()) {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => {
                if self.0.is_empty() {
                    // As many as most lines have.
                    self.0.reserve(12);
                }
                self.0.push((name, value));
            }
        }
    }

    /// Takes over those of a span that the event does not have itself.
    pub(super) fn inherit(&mut self, span: &Fields) {
        for (name, value) in &span.0 {
            if !self.0.iter().any(|(known, _)| known == name) {
                self.0.push((name, value.clone()));
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), Value::Text(cut(value).into_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), Value::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), Value::Bool(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded(String::new());
        // An error means that it was cut.
        let _ = write!(text, "{value:?}");
        self.set(field.name(), Value::Text(text.0));
    }
}

/// Takes at most [`MAX_VALUE`] octets of what is written into it.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_VALUE.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

fn cut(value: &str) -> std::borrow::Cow<'_, str> {
    if value.len() <= MAX_VALUE {
        return value.into();
    }
    format!("{}…", &value[..value.floor_char_boundary(MAX_VALUE)]).into()
}

/// Writes a whole line with its newline.
pub(super) fn write(
    time: SystemTime,
    level: Level,
    fields: &Fields,
    format: Format,
    dress: Dress,
) -> String {
    let mut line = String::with_capacity(256);
    match format {
        Format::Text => text(&mut line, time, level, fields, dress),
        Format::Json => json(&mut line, time, level, fields),
    }
    line.push('\n');
    line
}

/// The event first: it says what the others are about.
fn in_order(fields: &Fields) -> impl Iterator<Item = &(&'static str, Value)> {
    let event = fields.0.iter().filter(|(name, _)| *name == "event");
    event.chain(fields.0.iter().filter(|(name, _)| *name != "event"))
}

fn text(line: &mut String, time: SystemTime, level: Level, fields: &Fields, dress: Dress) {
    let (dim, reset) = match dress {
        Dress::Terminal => ("\x1b[2m", "\x1b[0m"),
        Dress::Plain | Dress::Timeless => ("", ""),
    };
    if dress != Dress::Timeless {
        let time = humantime::format_rfc3339_millis(time);
        let _ = write!(line, "{dim}{time}{reset} ");
    }
    match dress {
        Dress::Terminal => {
            let _ = write!(line, "{}{:<5}{reset}", colour(level), word(level));
        }
        Dress::Plain | Dress::Timeless => line.push_str(word(level)),
    }
    for (name, value) in in_order(fields) {
        let before = line.len();
        for part in [" ", dim, name, "=", reset] {
            line.push_str(part);
        }
        match value {
            Value::Text(text) => word_or_quoted(line, text),
            Value::Float(seconds) if *name == "took" => took(line, *seconds),
            other => number(line, other),
        }
        if line.len() >= MAX_LINE {
            line.truncate(before);
            return;
        }
    }
}

fn json(line: &mut String, time: SystemTime, level: Level, fields: &Fields) {
    let time = humantime::format_rfc3339_millis(time);
    let _ = write!(line, r#"{{"time":"{time}","level":"{}""#, word(level));
    for (name, value) in in_order(fields) {
        let before = line.len();
        line.push(',');
        quoted(line, name, Escapes::Json);
        line.push(':');
        match value {
            Value::Text(text) => quoted(line, text, Escapes::Json),
            Value::Float(n) if !n.is_finite() => line.push_str("null"),
            other => number(line, other),
        }
        if line.len() >= MAX_LINE {
            line.truncate(before);
            break;
        }
    }
    line.push('}');
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

fn number(line: &mut String, value: &Value) {
    let _ = match value {
        Value::Text(text) => line.write_str(text),
        Value::Signed(n) => write!(line, "{n}"),
        Value::Unsigned(n) => write!(line, "{n}"),
        Value::Bool(n) => write!(line, "{n}"),
        // Microseconds are as fine as anything here is measured.
        Value::Float(n) => write!(line, "{}", (n * 1e6).round() / 1e6),
    };
}

/// Seconds with a unit: `870us`, `12.4ms`, `1.52s`.
fn took(line: &mut String, seconds: f64) {
    let _ = match seconds {
        s if s < 0.001 => write!(line, "{:.0}us", s * 1e6),
        s if s < 1.0 => write!(line, "{:.1}ms", s * 1e3),
        s => write!(line, "{s:.2}s"),
    };
}

/// What would end a value that stands without quotes, or be read as more than itself: the white space
/// of every script too, for a filter's `\s` matches it.
fn divides(c: char) -> bool {
    matches!(c, '"' | '=' | '\\') || c.is_whitespace()
}

fn word_or_quoted(line: &mut String, text: &str) {
    let plain = |c: char| !divides(c) && !unprintable(c);
    // Most values are ASCII, of which nothing else is to be asked.
    let plain_octet = |it: &u8| it.is_ascii_graphic() && !divides(char::from(*it));
    match text.as_bytes().iter().all(plain_octet) || text.chars().all(plain) {
        true => line.push_str(text),
        false => quoted(line, text, Escapes::Text),
    }
}

#[derive(Clone, Copy, Debug)]
enum Escapes {
    Text,
    Json,
}

fn quoted(line: &mut String, text: &str, escapes: Escapes) {
    line.push('"');
    for c in text.chars() {
        match (c, escapes) {
            ('"', _) => line.push_str("\\\""),
            ('\\', _) => line.push_str("\\\\"),
            ('\n', _) => line.push_str("\\n"),
            ('\r', _) => line.push_str("\\r"),
            ('\t', _) => line.push_str("\\t"),
            (c, Escapes::Text) if unprintable(c) => {
                let _ = write!(line, "\\u{{{:x}}}", u32::from(c));
            }
            (c, Escapes::Json) if unprintable(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
            (c, _) => line.push(c),
        }
    }
    line.push('"');
}

/// Characters that move the cursor, end a line somewhere, or cannot be seen: controls, line and
/// paragraph separators, and the formats that hide or turn text (Trojan Source, CVE-2021-42574).
fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            u32::from(c),
            0x00ad
                | 0x061c
                | 0x180e
                | 0x200b..=0x200f
                | 0x2028..=0x202e
                | 0x2060..=0x206f
                | 0xfeff
                | 0xfff9..=0xfffb
                | 0xe0000..=0xe007f
        )
}

#[cfg(test)]
mod tests;
