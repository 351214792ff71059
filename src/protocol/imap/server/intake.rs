//! Cuts commands out of the client's stream: lines, literals, answers to challenges, and their limits.
//!
//! Nothing is read as a command here but its tag and verb, as far as the limits depend on them.

use super::{Server, State};
use crate::protocol::imap::grammar::{LiteralKind, Tag, Tokens, announced};
use crate::protocol::line::Octets;
use crate::protocol::sasl;
use crate::protocol::{Closing, Failure, Mechanism, Refused};

/// Whether there was enough to go on with.
pub(super) enum Progress {
    /// Something was done.
    Made,
    /// Octets are needed.
    Starved,
}

impl Server {
    /// Reads on in `Ready`: one more line or literal, if it is there.
    pub(super) fn read_command(&mut self) -> Progress {
        if let Some(octets) = self.literal {
            let Some(literal) = self.lines.exact(octets) else {
                return Progress::Starved;
            };
            extend(&mut self.command, &literal);
            self.literal = None;
        }
        let budget = self.budget();
        self.lines
            .set_limit(budget.saturating_sub(self.command.len()));
        let line = match self.lines.line() {
            Ok(Some(line)) => line,
            Ok(None) => return Progress::Starved,
            Err(_) => {
                self.too_long();
                return Progress::Made;
            }
        };
        extend(&mut self.command, &line);
        match announced(&line) {
            Some(literal) => {
                extend(&mut self.command, b"\r\n");
                let left = budget.saturating_sub(self.command.len());
                self.literal_announced(literal.octets, literal.kind, left);
            }
            None => {
                let command = std::mem::take(&mut self.command);
                self.answer(&command, line.contains(&b'\r') || line.contains(&0));
            }
        }
        Progress::Made
    }

    /// Reads on in `Sasl`: the client's answer, if it is there.
    pub(super) fn read_answer(&mut self, tag: Tag, mut exchange: sasl::Server) -> Progress {
        self.lines.set_limit(self.settings.line.max(self.long_line));
        match self.lines.line() {
            Ok(Some(line)) => {
                let turn = exchange.answer(&line);
                self.sasl_turn(tag, exchange, turn);
                Progress::Made
            }
            Ok(None) => {
                self.state = State::Sasl(tag, exchange);
                Progress::Starved
            }
            Err(_) => {
                self.state = State::Sasl(tag, exchange);
                self.too_long();
                Progress::Made
            }
        }
    }

    /// Reads on in `Challenged`: the client's answer for the host. What is no answer gives the
    /// exchange up: the host is told, and then the client is.
    pub(super) fn read_exchange(&mut self, tag: Tag) -> Progress {
        self.lines.set_limit(self.settings.line.max(self.long_line));
        match self.lines.line() {
            Ok(Some(line)) => {
                let answer = match sasl::Message::from_base64(&line) {
                    Some(message) => sasl::Answer::Message(message),
                    None => sasl::Answer::Abort,
                };
                self.state = State::AnswerDue(tag, answer);
                Progress::Made
            }
            Ok(None) => {
                self.state = State::Challenged(tag);
                Progress::Starved
            }
            Err(_) => {
                self.state = State::Challenged(tag);
                self.too_long();
                Progress::Made
            }
        }
    }

    /// How many octets the command that is being read may have, by its verb. One whose end does not show
    /// within the common limit is not asked for: how much of a line has come decides nothing.
    fn budget(&self) -> usize {
        let line = self.settings.line;
        let head = if self.command.is_empty() {
            let unread = self.lines.peek();
            unread.get(..=line).unwrap_or(unread)
        } else {
            &self.command
        };
        match verb(head).as_deref() {
            Some("ID" | "AUTHENTICATE") if verb_ends(head) => line.max(self.long_line),
            _ => line,
        }
    }

    /// Goes on with a literal, or answers a command that cannot succeed before its octets (which may
    /// be a password) are sent.
    fn literal_announced(&mut self, octets: usize, kind: LiteralKind, left: usize) {
        let fits = octets <= left;
        if fits && kind == LiteralKind::NonSynchronizing {
            self.literal = Some(octets);
            return;
        }
        let command = std::mem::take(&mut self.command);
        let tag = Tokens::new(&command).tag();
        if !fits {
            self.bad(tag.as_ref(), "literal too long");
            if kind == LiteralKind::NonSynchronizing {
                // Its octets are on their way and would be read as commands.
                self.end(Closing::TooLong, "literal too long");
            }
            return;
        }
        let Some(tag) = tag else {
            return self.bad(None, "invalid tag");
        };
        match verb(&command).as_deref() {
            Some("LOGIN") if !self.may_log_in() => {
                let refused = Refused {
                    failure: Failure::PrivacyRequired,
                    user: None,
                    mechanism: Some(Mechanism::Login),
                };
                self.refuse(&tag, refused);
            }
            Some("LOGIN" | "ID") => {
                self.command = command;
                self.literal = Some(octets);
                self.say(format_args!("+ send it"));
            }
            _ => self.bad(Some(&tag), "no literal is expected here"),
        }
    }

    /// A line beyond its limit. Its end was not seen, so nothing behind it can be told from it.
    fn too_long(&mut self) {
        let head = if self.command.is_empty() {
            self.lines.peek()
        } else {
            &self.command
        };
        let tag = match &self.state {
            State::Sasl(tag, _) | State::Challenged(tag) => Some(tag.clone()),
            _ => Tokens::new(head).tag(),
        };
        self.bad(tag.as_ref(), "line too long");
        self.end(Closing::TooLong, "line too long");
    }
}

/// The command's verb in upper case, if its head has one.
pub(super) fn verb(head: &[u8]) -> Option<String> {
    let mut tokens = Tokens::new(head);
    tokens.tag()?;
    tokens.space().ok()?;
    let atom = tokens.atom().ok()?;
    // Longer than any verb: not worth a copy.
    let atom = std::str::from_utf8(atom.get(..atom.len().min(32))?).ok()?;
    Some(atom.to_ascii_uppercase())
}

/// Whether something stands behind the verb.
fn verb_ends(head: &[u8]) -> bool {
    let mut tokens = Tokens::new(head);
    let verb = (tokens.tag(), tokens.space(), tokens.atom());
    matches!(verb, (Some(_), Ok(()), Ok(_))) && !tokens.is_empty()
}

/// Appends without leaving copies of a growing secret behind.
fn extend(octets: &mut Octets, more: &[u8]) {
    let needed = octets.len().saturating_add(more.len());
    if needed > octets.capacity() {
        let mut larger = Vec::with_capacity(needed);
        larger.extend_from_slice(octets);
        *octets = Octets::new(larger);
    }
    octets.extend_from_slice(more);
}
