//! A page of the manual for a terminal: Markdown's signs become layout, and colour where there is some.

/// Columns of a page; wider lines are broken where they can be.
const WIDTH: usize = 96;

/// Whether a page is dressed for a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    /// As it stands.
    Plain,
    /// Headings and code in bold and colour.
    Terminal,
}

/// The page as text: fences and table bars are taken away, code is set in by four columns.
pub fn render(markdown: &str, dress: Dress) -> String {
    let mut out = String::new();
    let mut fenced = false;
    let mut table: Vec<Vec<String>> = Vec::new();
    for line in markdown.lines() {
        if let Some(row) = cells(line).filter(|_| !fenced) {
            table.push(row);
            continue;
        }
        if !table.is_empty() {
            push_table(&mut out, &std::mem::take(&mut table), dress);
        }
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            let line = format!("    {line}");
            out.push_str(&dressed(line.trim_end(), "2", dress));
            out.push('\n');
        } else if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim();
            out.push_str(&dressed(heading, "1", dress));
            out.push('\n');
        } else {
            out.push_str(&inline(line, dress));
            out.push('\n');
        }
    }
    push_table(&mut out, &table, dress);
    out
}

/// The cells of a table's line.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?.trim_end().strip_suffix('|')?;
    Some(
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect(),
    )
}

/// Columns as wide as their widest cell; the last one is broken to fit.
fn push_table(out: &mut String, rows: &[Vec<String>], dress: Dress) {
    let is_rule = |row: &[String]| row.iter().all(|c| c.chars().all(|c| c == '-' || c == ':'));
    let rows: Vec<_> = rows.iter().filter(|row| !is_rule(row)).collect();
    let columns = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| visible(cell)).max().unwrap_or(0)
        })
        .collect();
    for row in &rows {
        out.push_str("  ");
        let mut indent = 2;
        for (column, cell) in row.iter().enumerate() {
            if column + 1 == columns {
                for (n, part) in wrap(cell, WIDTH.saturating_sub(indent).max(24))
                    .iter()
                    .enumerate()
                {
                    if n > 0 {
                        out.push('\n');
                        out.push_str(&" ".repeat(indent));
                    }
                    out.push_str(&inline(part, dress));
                }
            } else {
                let width = widths.get(column).copied().unwrap_or(0);
                out.push_str(&inline(cell, dress));
                out.push_str(&" ".repeat(width.saturating_sub(visible(cell)) + 2));
                indent += width + 2;
            }
        }
        while out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }
}

/// Words in lines of at most so many columns; what stands in back ticks stays whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let open = line.matches('`').count() % 2 == 1;
        if line.is_empty() {
            line.push_str(word);
        } else if open || visible(line) + 1 + visible(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Columns of a text once its back ticks and stars are gone.
fn visible(text: &str) -> usize {
    inline(text, Dress::Plain).chars().count()
}

/// Code without its back ticks, stress without its stars.
fn inline(text: &str, dress: Dress) -> String {
    let mut out = String::new();
    for (n, part) in text.split('`').enumerate() {
        match n % 2 {
            0 => out.push_str(&part.replace("**", "").replace("\\\\", "\\")),
            _ => out.push_str(&dressed(part, "36", dress)),
        }
    }
    out
}

fn dressed(text: &str, code: &str, dress: Dress) -> String {
    match dress {
        Dress::Plain => text.to_owned(),
        Dress::Terminal => format!("\x1b[{code}m{text}\x1b[0m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual::Topic;

    #[test]
    fn markdown_becomes_text() {
        let page = "# Title: about it\n\nSay `x` **now**.\n\n```yaml\na: 1 | 2\n```\n\n\
                    | key | does |\n|---|---|\n| `long` | one |\n| b | two |\n";
        let want = "Title: about it\n\nSay x now.\n\n    a: 1 | 2\n\n  key   does\n  long  one\n  b     two\n";
        assert_eq!(render(page, Dress::Plain), want);
        let coloured = render(page, Dress::Terminal);
        assert!(coloured.starts_with("\x1b[1mTitle: about it\x1b[0m\n"));
        assert!(coloured.contains("Say \x1b[36mx\x1b[0m now."));
    }

    #[test]
    fn every_page_fits_a_terminal() {
        for topic in Topic::all() {
            let page = render(topic.text, Dress::Plain);
            let lines = page.lines().filter(|line| !line.starts_with("    "));
            for line in lines {
                assert!(line.chars().count() <= 132, "{}: {line}", topic.name);
            }
            assert!(
                !page.contains("```") && !page.contains('\x1b'),
                "{}",
                topic.name
            );
        }
    }
}
