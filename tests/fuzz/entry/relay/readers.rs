//! Hosts that read what passed, each in the way of servers there are, and answer as they do. None may be
//! brought to a login that routing never saw.

/// How a host goes on behind what it does not understand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As RFC 9051 and RFC 7888 have it: a command is read to its end, literals and all.
    Strict,
    /// It eats the line where it is lost, and whatever literal it announces is the next line: Cyrus where it
    /// does not know the verb, and others anywhere.
    Line,
    /// It drops what it has read at once and begins anew: so Stalwart. It skips white space where it can.
    Anew,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Tag,
    Verb,
    Argument {
        last: u8,
    },
    Quoted {
        escaped: bool,
    },
    Size {
        asked: bool,
    },
    SizeEnd {
        size: u64,
        asked: bool,
    },
    Literal {
        left: u64,
    },
    /// To the end of the line.
    Eat,
    Idle,
    /// Behind STARTTLS.
    Tls,
    Closed,
}

pub(super) struct Reader {
    way: Way,
    /// The longest literal that it takes unasked.
    unasked: u64,
    state: State,
    tag: Vec<u8>,
    word: Vec<u8>,
    verb: Vec<u8>,
    /// A line of an IDLE, or four octets of one; or what stands behind `}`, or behind STARTTLS.
    line: Vec<u8>,
    bad: bool,
    pub(super) says: Vec<u8>,
    /// It did what must not pass.
    pub(super) done: bool,
}

enum Next {
    Go,
    /// The rest of this read is dropped.
    Drop,
}

const VERBS: &[&str] = &[
    "NOOP",
    "APPEND",
    "SEARCH",
    "LIST",
    "SELECT",
    "IDLE",
    "AUTHENTICATE",
    "CAPABILITY",
    "COMPRESS",
    "UNAUTHENTICATE",
    "STARTTLS",
];

impl Reader {
    pub(super) fn new(way: Way, unasked: u64) -> Self {
        Reader {
            way,
            unasked,
            state: State::Start,
            tag: Vec::new(),
            word: Vec::new(),
            verb: Vec::new(),
            line: Vec::new(),
            bad: false,
            says: Vec::new(),
            done: false,
        }
    }

    /// What one read gives.
    pub(super) fn read(&mut self, octets: &[u8]) {
        for octet in octets {
            if let Next::Drop = self.octet(*octet) {
                return;
            }
        }
    }

    fn octet(&mut self, octet: u8) -> Next {
        match self.state {
            State::Closed => {}
            State::Tls => {
                self.line.push(octet);
                if self.line.len() == 2 {
                    self.done |= self.line == [0x16, 0x03];
                    self.state = State::Closed;
                }
            }
            State::Idle => return self.idle(octet),
            State::Start => match octet {
                b'\r' | b'\n' => {}
                _ if octet.is_ascii_whitespace() && self.way == Way::Anew => {}
                _ => {
                    self.tag = vec![octet];
                    self.word.clear();
                    self.bad = false;
                    self.state = State::Tag;
                }
            },
            State::Tag => match octet {
                b' ' => self.state = State::Verb,
                b'\n' => return self.fail(octet),
                b'\r' | b'\t' if self.way == Way::Anew => {}
                _ => self.tag.push(octet),
            },
            State::Verb => return self.verb(octet),
            State::Argument { last } => return self.argument(last, octet),
            State::Quoted { escaped } => match octet {
                b'\n' => return self.fail(octet),
                b'\r' if self.way == Way::Line => return self.fail(octet),
                b'"' if !escaped => self.state = State::Argument { last: b' ' },
                _ => {
                    self.state = State::Quoted {
                        escaped: octet == b'\\' && !escaped,
                    }
                }
            },
            State::Size { asked } => match octet {
                b'0'..=b'9' if asked && self.word.len() < 15 => self.word.push(octet),
                b'+' if asked && !self.word.is_empty() => self.state = State::Size { asked: false },
                b'}' if !self.word.is_empty() => {
                    let size: u64 = String::from_utf8_lossy(&self.word).parse().unwrap();
                    let refused = u32::try_from(size).is_err() || (!asked && size > self.unasked);
                    if refused {
                        return self.fail(octet);
                    }
                    self.state = State::SizeEnd { size, asked };
                }
                _ => return self.fail(octet),
            },
            State::SizeEnd { size, asked } => match octet {
                b'\n' => {
                    if self.way == Way::Line && self.line != b"\r" {
                        return self.fail(octet);
                    }
                    self.state = match size {
                        0 => State::Argument { last: b' ' },
                        left => State::Literal { left },
                    };
                    if asked {
                        self.says.extend(b"+ go\r\n");
                        return Next::Drop;
                    }
                }
                b'\r' if self.line.is_empty() => self.line.push(octet),
                _ => return self.fail(octet),
            },
            State::Literal { left: 1 } => self.state = State::Argument { last: b' ' },
            State::Literal { left } => self.state = State::Literal { left: left - 1 },
            State::Eat if octet == b'\n' => self.state = State::Start,
            State::Eat => {}
        }
        Next::Go
    }

    fn verb(&mut self, octet: u8) -> Next {
        let space = octet.is_ascii_whitespace();
        if !space {
            self.word.push(octet.to_ascii_uppercase());
            let odd = self.way == Way::Anew && !octet.is_ascii_alphanumeric();
            return if odd { self.fail(octet) } else { Next::Go };
        }
        if self.way == Way::Anew {
            if self.word == b"UID" {
                self.word.clear();
            }
            if self.word.is_empty() {
                return Next::Go;
            }
        }
        self.verb = std::mem::take(&mut self.word);
        let known = VERBS.iter().any(|it| it.as_bytes() == self.verb);
        match (known, self.way) {
            (false, Way::Line | Way::Anew) => return self.fail(octet),
            (false, Way::Strict) => self.bad = true,
            (true, _) => {}
        }
        self.state = State::Argument { last: b' ' };
        match octet {
            b'\n' => self.run(),
            _ => Next::Go,
        }
    }

    fn argument(&mut self, last: u8, octet: u8) -> Next {
        match octet {
            b'"' if last == b' ' || last == b'(' => self.state = State::Quoted { escaped: false },
            b'{' if last == b' ' || last == b'(' || last == b'~' => {
                self.word.clear();
                self.line.clear();
                self.state = State::Size { asked: true };
            }
            b'\n' => return self.run(),
            _ => {
                if octet != b'\r' && self.word.len() < 15 {
                    self.word.push(octet.to_ascii_uppercase());
                }
                self.state = State::Argument { last: octet };
            }
        }
        Next::Go
    }

    /// The command is at its end.
    fn run(&mut self) -> Next {
        self.state = State::Start;
        let verb = std::mem::take(&mut self.verb);
        if self.bad {
            self.answer(b"BAD");
            return Next::Go;
        }
        match &verb[..] {
            b"UNAUTHENTICATE" => self.done = true,
            b"COMPRESS" if self.way != Way::Anew && self.word == b"DEFLATE" => self.done = true,
            b"COMPRESS" | b"AUTHENTICATE" => self.answer(b"NO"),
            b"IDLE" => {
                self.line.clear();
                self.says.extend(b"+ idling\r\n");
                self.state = State::Idle;
            }
            b"STARTTLS" if self.way == Way::Anew => {
                self.line.clear();
                self.answer(b"OK");
                self.state = State::Tls;
            }
            b"STARTTLS" => self.answer(b"BAD"),
            _ => self.answer(b"OK"),
        }
        Next::Go
    }

    fn idle(&mut self, octet: u8) -> Next {
        self.line.push(octet);
        match self.way {
            Way::Anew if self.line == b"DONE" => {
                self.state = State::Start;
                self.answer(b"OK");
            }
            Way::Anew if self.line.len() == 4 => self.line.clear(),
            Way::Strict | Way::Line if octet == b'\n' => {
                let line = std::mem::take(&mut self.line);
                self.state = State::Start;
                match line.trim_ascii_end().eq_ignore_ascii_case(b"DONE") {
                    true => self.answer(b"OK"),
                    false => self.answer(b"BAD"),
                }
            }
            _ => {}
        }
        Next::Go
    }

    /// What it does not understand, this being the last octet of it.
    fn fail(&mut self, octet: u8) -> Next {
        match self.way {
            Way::Strict if octet != b'\n' => {
                self.bad = true;
                self.state = State::Argument { last: octet };
                Next::Go
            }
            Way::Strict | Way::Line => {
                self.answer(b"BAD");
                self.state = match octet {
                    b'\n' => State::Start,
                    _ => State::Eat,
                };
                Next::Go
            }
            Way::Anew => {
                self.answer(b"BAD");
                self.state = State::Start;
                Next::Drop
            }
        }
    }

    fn answer(&mut self, status: &[u8]) {
        self.says.extend(&self.tag);
        self.says.push(b' ');
        self.says.extend(status);
        self.says.extend(b" x\r\n");
    }
}
