//! Lists for people: columns as wide as what is in them, cut to fit the terminal.

use std::io::IsTerminal as _;

use serde_json::Value;

/// Narrowest a column is cut to.
const NARROW: usize = 8;

/// A list with its heading.
#[derive(Debug, Default)]
pub(super) struct Table {
    heading: Vec<&'static str>,
    /// Whether a column holds numbers, which stand to the right.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns; numbers are marked by a `#` before their name.
    pub(super) fn new(columns: &[&'static str]) -> Self {
        Table {
            heading: columns.iter().map(|c| c.trim_start_matches('#')).collect(),
            right: columns.iter().map(|c| c.starts_with('#')).collect(),
            rows: Vec::new(),
        }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, for an output of this width; none: as wide as they are.
    pub(super) fn render(&self, width: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.heading.iter().map(|h| h.chars().count()).collect();
        for row in &self.rows {
            for (cell, width) in row.iter().zip(&mut widths) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if let Some(room) = width {
            fit(&mut widths, room);
        }
        let heading: Vec<String> = self.heading.iter().map(|h| h.to_uppercase()).collect();
        let mut out = String::new();
        for row in std::iter::once(&heading).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let cell = cut(cell, *width);
                let space = " ".repeat(width.saturating_sub(cell.chars().count()));
                if *right {
                    line.push_str(&space);
                }
                line.push_str(&cell);
                if !right {
                    line.push_str(&space);
                }
                line.push_str("  ");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Takes from the widest column until all fit.
fn fit(widths: &mut [usize], room: usize) {
    let gaps = widths.len().saturating_sub(1) * 2;
    while widths.iter().sum::<usize>() + gaps > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROW => *widest -= 1,
            _ => return,
        }
    }
}

/// The middle goes: names differ at their ends.
fn cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(1);
    let head = keep.div_ceil(2);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(length - (keep - head)).collect();
    format!("{start}…{end}")
}

/// Columns of the terminal that standard output is, or what `COLUMNS` says; none for a file or a pipe.
pub(super) fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let columns = std::env::var("COLUMNS").ok();
    let set = columns.and_then(|columns| columns.parse().ok());
    set.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into()))
}

/// A cell from JSON: text as it is, without characters that would move the cursor; nothing as `-`.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => printable(text),
        Some(other) => printable(&other.to_string()),
    }
}

/// Text that stays where it is: what a client typed must not act on an operator's terminal.
pub(super) fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(u32::from(c), 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff)
    };
    text.chars()
        .map(|c| if hidden(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Octets with a unit: `512`, `12K`, `3.4M`.
pub(super) fn octets(n: u64) -> String {
    let mut rest = n;
    let mut tenths = 0;
    for unit in ["", "K", "M", "G", "T"] {
        if rest < 1024 {
            return match rest < 10 && !unit.is_empty() {
                true => format!("{rest}.{tenths}{unit}"),
                false => format!("{rest}{unit}"),
            };
        }
        tenths = rest % 1024 * 10 / 1024;
        rest /= 1024;
    }
    format!("{rest}P")
}

/// A time span in its two largest units: `3d4h`, `12m`, `5s`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        s if s < 60 => format!("{s}s"),
        s if s < 3600 => format!("{}m{:02}s", s / 60, s % 60),
        s if s < 86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        s => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table = Table::new(&["user", "host", "#sessions"]);
        table.row(vec![
            "alice.wonderland@example.com".into(),
            "h1".into(),
            "12".into(),
        ]);
        table.row(vec!["bob".into(), "-".into(), "3".into()]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            example().render(None),
            "USER                          HOST  SESSIONS\n\
             alice.wonderland@example.com  h1          12\n\
             bob                           -            3\n"
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_the_middle_of_the_widest() {
        let text = example().render(Some(30));
        assert_eq!(
            text,
            "USER            HOST  SESSIONS\n\
             alice.w…le.com  h1          12\n\
             bob             -            3\n"
        );
        assert!(example().render(Some(1)).lines().count() == 3);
    }

    #[test]
    fn figures_have_units() {
        for (n, want) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (15_000, "14K"),
            (5_800_000, "5.5M"),
        ] {
            assert_eq!(octets(n), want);
        }
        for (s, want) in [(5, "5s"), (65, "1m05s"), (7260, "2h01m"), (90_000, "1d01h")] {
            assert_eq!(span(s), want);
        }
    }

    #[test]
    fn what_a_client_typed_does_not_move_the_cursor() {
        assert_eq!(
            cell(Some(&serde_json::json!("\x1b[2Ja\u{202e}b"))),
            "\u{fffd}[2Ja\u{fffd}b"
        );
        assert_eq!(
            (cell(None), cell(Some(&Value::Null))),
            ("-".into(), "-".into())
        );
    }
}
