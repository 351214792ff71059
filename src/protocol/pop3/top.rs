//! TOP (RFC 1939 §7): where the header, the blank line and n lines of the body end in the octets of
//! a message, whatever the edges of the chunks they arrive in.

/// Finds the end of what TOP shows.
#[derive(Clone, Debug)]
pub(super) struct Top {
    part: Part,
    /// Lines of the body still to be shown.
    lines: u32,
}

/// Where in the message the next octet falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// At the beginning of a line of the header.
    HeaderLine,
    /// Behind a CR that began such a line.
    HeaderCr,
    /// Within a line of the header.
    Header,
    /// In the body.
    Body,
    /// Behind the end.
    Over,
}

impl Top {
    /// At the beginning of a message, of which so many lines of the body are to be shown.
    pub(super) fn new(lines: u32) -> Self {
        Top {
            part: Part::HeaderLine,
            lines,
        }
    }

    /// Whether everything was shown.
    pub(super) fn is_over(&self) -> bool {
        self.part == Part::Over
    }

    /// Takes the next octets: how many of them are shown.
    pub(super) fn push(&mut self, chunk: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = chunk.get(at..).filter(|rest| !rest.is_empty()) {
            match self.part {
                Part::Over => return at,
                Part::HeaderLine | Part::HeaderCr => {
                    let first = rest.first().copied();
                    match (self.part, first) {
                        (_, Some(b'\n')) => {
                            at = at.saturating_add(1);
                            self.part = match self.lines {
                                0 => Part::Over,
                                _ => Part::Body,
                            };
                        }
                        (Part::HeaderLine, Some(b'\r')) => {
                            at = at.saturating_add(1);
                            self.part = Part::HeaderCr;
                        }
                        _ => self.part = Part::Header,
                    }
                }
                Part::Header => match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        at = at.saturating_add(end.saturating_add(1));
                        self.part = Part::HeaderLine;
                    }
                    None => return chunk.len(),
                },
                Part::Body => match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        at = at.saturating_add(end.saturating_add(1));
                        self.lines = self.lines.saturating_sub(1);
                        if self.lines == 0 {
                            self.part = Part::Over;
                        }
                    }
                    None => return chunk.len(),
                },
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_header_blank_line_and_lines() {
        let message = "A: b\r\nC: d\r\n\r\none\r\ntwo\r\nthree";
        for (message, lines, want) in [
            (message, 0, "A: b\r\nC: d\r\n\r\n"),
            (message, 1, "A: b\r\nC: d\r\n\r\none\r\n"),
            (message, 2, "A: b\r\nC: d\r\n\r\none\r\ntwo\r\n"),
            (message, 3, message),
            (message, 99, message),
            ("A: b\n\none\ntwo\n", 1, "A: b\n\none\n"),
            ("A: b\r\n", 0, "A: b\r\n"),
            ("\r\nbody\r\n", 0, "\r\n"),
            ("\nbody\n", 1, "\nbody\n"),
            ("", 3, ""),
            // A CR alone ends no line.
            ("A: b\r\n\rC: d\r\n\r\nx\r\n", 0, "A: b\r\n\rC: d\r\n\r\n"),
            ("A: b\r\n\r\r\nC\r\n\r\n", 0, "A: b\r\n\r\r\nC\r\n\r\n"),
        ] {
            for size in 1..=message.len().max(1) {
                let mut top = Top::new(lines);
                let mut shown = Vec::new();
                for chunk in message.as_bytes().chunks(size) {
                    let octets = top.push(chunk);
                    shown.extend_from_slice(&chunk[..octets]);
                }
                assert_eq!(shown, want.as_bytes(), "{message:?} {lines} by {size}");
                assert_eq!(top.is_over(), want.len() < message.len() || top.is_over());
            }
        }
    }
}
