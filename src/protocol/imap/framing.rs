//! Watches a relayed IMAP session: where a BYE may stand, and which commands must not pass.
//!
//! Lines are found by memchr, literals skipped by their length, so bulk costs nothing. The client's
//! literals need care: were the host to refuse one that we skip, its octets would be commands to the
//! host and invisible to us, and UNAUTHENTICATE (RFC 8437) among them would open the way to a login
//! that routing never saw. So a literal is only skipped where the host is known to take it; a
//! doubtful one is read both ways, and `doubt` tells which is which. What the host answers to CAPABILITY
//! loses what must not pass. After COMPRESS (RFC 4978) nothing can be read any more.
//!
//! Mail is never changed: once anything of the host's may be read otherwise than it is here, whatever it
//! says is left alone for ever, and no BYE is put between.

mod answering;
mod asking;
mod doubt;
mod listing;
mod plain;
mod tail;
#[cfg(test)]
mod tests;

use self::answering::{Answering, Place, Said};
use self::asking::{Answer, Asking, Body, Breadth, Found, Head, Verb};
use self::listing::{Listing, Takes};
use super::first::First;
use super::reply;
use crate::protocol::handover::Leave;
use crate::protocol::{Farewell, Observer, UnauthenticateOffer, Verdict};

/// The observer of a relayed IMAP session, from the first octet behind the OK to the login on.
pub struct Framing {
    session: Box<str>,
    sight: Sight,
    offers: Offers,
    client: Asking,
    host: Answering,
    listing: Listing,
    /// Commands sent whole and not answered yet.
    outstanding: u32,
    counted: Counted,
    /// The tag of an IDLE or AUTHENTICATE under way: lines that follow may not be commands.
    open: Option<Hash>,
    /// Whether that one is an IDLE that DONE has not ended (RFC 2177 §3).
    idle: Idle,
    /// The tag of a COMPRESS under way.
    compress: Option<Hash>,
    /// The tag of a CAPABILITY under way.
    capability: Option<Hash>,
    leave: Leave,
}

/// A tag, hashed: enough to tell an answer to one command from others.
type Hash = u32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    Clear,
    /// Compressed: nothing can be read.
    Blind,
    /// A command was refused: nothing more passes.
    Ended,
}

/// Whether `outstanding` and `open` know of all commands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    All,
    /// A literal was read both ways: to the host there may have been commands in it, an IDLE for one. Or
    /// what else was said may be other commands to it. What asks for octets then, or takes none, is not
    /// known any more, and every literal is read so.
    Perhaps,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Idle {
    No,
    Yes,
}

/// What the host is known to offer.
#[derive(Clone, Copy)]
struct Offers {
    literals: Literals,
    /// Whether COMPRESS may pass.
    compress: Compress,
}

/// Which literals without synchronisation it takes (RFC 7888 §4, §5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literals {
    Any,
    /// LITERAL-.
    Short,
    None,
}

impl Literals {
    fn take(self, octets: u64) -> bool {
        match self {
            Literals::Any => true,
            Literals::Short => octets <= 4096,
            Literals::None => false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compress {
    /// The host offers no UNAUTHENTICATE.
    Passes,
    /// It does.
    Refused,
    /// It has not said: as if it did, until a list is seen.
    Unknown,
}

impl Framing {
    /// `capabilities` are those the client was told to be the host's, if they are known, and
    /// `unauthenticate` is what was taken out of them.
    pub fn new(
        session: &str,
        capabilities: Option<&[String]>,
        unauthenticate: UnauthenticateOffer,
    ) -> Self {
        let list = capabilities.unwrap_or_default();
        let offers = |name: &str| list.iter().any(|c| c.eq_ignore_ascii_case(name));
        Framing {
            session: session.into(),
            sight: Sight::Clear,
            offers: Offers {
                literals: if offers("LITERAL+") {
                    Literals::Any
                } else if offers("LITERAL-") || offers("IMAP4REV2") {
                    Literals::Short
                } else {
                    Literals::None
                },
                compress: match unauthenticate {
                    UnauthenticateOffer::No => Compress::Passes,
                    UnauthenticateOffer::Yes => Compress::Refused,
                    UnauthenticateOffer::Unknown => Compress::Unknown,
                },
            },
            client: Asking::default(),
            host: Answering::default(),
            listing: Listing::default(),
            outstanding: 0,
            counted: Counted::All,
            open: None,
            idle: Idle::No,
            compress: None,
            capability: None,
            leave: Leave::NotTaken,
        }
    }

    /// The client sent a whole command.
    fn client_command(&mut self) {
        let (verb, tag, answer) = (self.client.verb, self.client.tag, self.client.answer);
        self.client.next_command();
        if self.breadth() == Breadth::Words {
            // An IDLE ends by its DONE only, and whose answer is whose is sure of one that runs alone.
            let sure = match verb {
                Verb::Idle => self.outstanding == 0,
                Verb::Authenticate => false,
                _ => self.idle == Idle::No || verb == Verb::Done,
            };
            if !sure {
                self.doubt();
            }
        }
        match verb {
            Verb::Done if self.idle == Idle::Yes => {
                self.idle = Idle::No;
                return;
            }
            Verb::Idle => {
                self.open = Some(tag);
                self.idle = Idle::Yes;
            }
            Verb::Authenticate => self.open = Some(tag),
            // Where it does not pass no host compresses, and an OK with its tag is another command's.
            Verb::Compress if self.breadth() == Breadth::Verbs => self.compress = Some(tag),
            Verb::Capability => self.capability = Some(tag),
            Verb::Logout => self.leave = Leave::Taken,
            Verb::Done | Verb::Compress | Verb::Unread | Verb::Other => {}
        }
        if answer == Answer::ToCome {
            self.outstanding = self.outstanding.saturating_add(1);
        }
    }

    /// A tagged answer.
    fn answered(&mut self, tag: Hash, status: First) {
        if self.client.is_refused_by(tag) {
            return;
        }
        // One tag for two commands: the one takes the other's place, and the count stays right.
        if self.client.is_answered_by(tag) {
            if self.breadth() == Breadth::Words {
                self.doubt();
            }
        } else {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        if self.open == Some(tag) {
            self.open = None;
            self.idle = Idle::No;
        }
        if self.capability == Some(tag) {
            self.capability = None;
        }
        if self.compress == Some(tag) {
            self.compress = None;
            if status == First::Ok {
                self.sight = Sight::Blind;
            }
        }
    }

    /// What is taken out of a list that the host may be giving.
    fn takes(&self) -> Takes {
        match (self.host.place, self.capability, self.offers.compress) {
            (Place::Doubtful, _, _) | (_, None, _) => Takes::Nothing,
            (Place::Known, Some(_), Compress::Passes) => Takes::Unauthenticate,
            (Place::Known, Some(_), Compress::Refused | Compress::Unknown) => Takes::Both,
        }
    }

    /// Looks for commands that must not pass in octets that may start one.
    fn look(&mut self, bytes: &[u8]) -> Verdict {
        let breadth = self.breadth();
        let mut rest = bytes;
        while let Some((found, tail)) = self.client.find(rest, breadth) {
            rest = tail;
            match (found, breadth) {
                (Found::Odd, _) => self.doubt(),
                (Found::Compress, Breadth::Verbs) => {}
                (Found::Unauthenticate | Found::Compress | Found::Tls, _) => {
                    self.sight = Sight::Ended;
                    return Verdict::End;
                }
            }
        }
        Verdict::Pass
    }

    /// What the host said of its capabilities in a response that is at its end.
    fn listed(&mut self, found: listing::Found, takes: Takes) {
        match (found, self.offers.compress) {
            (listing::Found::Unauthenticate, before) => {
                self.offers.compress = Compress::Refused;
                if before == Compress::Passes {
                    self.doubt();
                }
            }
            (listing::Found::List, Compress::Unknown) if takes != Takes::Nothing => {
                self.offers.compress = Compress::Passes;
            }
            (listing::Found::List | listing::Found::Nothing, _) => {}
        }
    }

    /// The host has said so much of a response that is at its end.
    fn heard(&mut self, said: Said) {
        // It did not understand the client, or not as we do.
        if said.is_bad() && self.breadth() == Breadth::Words {
            self.doubt();
        }
        match said {
            Said::Continue => self.continuation(),
            Said::Tagged(tag, status) => self.answered(tag, status),
            Said::Nothing | Said::Star | Said::Untagged(_) | Said::Tag(_) => {}
        }
    }
}

impl Observer for Framing {
    fn client_to_host(&mut self, bytes: &[u8]) -> Verdict {
        match self.sight {
            Sight::Clear => {}
            Sight::Blind => return Verdict::Pass,
            Sight::Ended => return Verdict::End,
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.client.body {
                Body::Line => {
                    let (line, tail) = split_line(rest);
                    if self.look(line) == Verdict::End {
                        return Verdict::End;
                    }
                    if self.breadth() == Breadth::Words {
                        self.client.plain.read(line);
                    }
                    if let Some(line) = line.strip_suffix(b"\n") {
                        let literal = self.client.tail.literal(line);
                        self.client_line(literal);
                    } else {
                        self.client.tail.keep(line);
                    }
                    rest = tail;
                }
                // The client does not wait for our host's word: read it as both.
                Body::Awaited(octets) => self.client.body = Body::Doubtful(octets),
                Body::Literal(left) => {
                    let (octets, tail) = split_literal(rest, left);
                    let left = left.saturating_sub(octets.len() as u64);
                    if left == 0 {
                        self.client.body = Body::Line;
                        self.client.head = Head::Rest;
                    } else {
                        self.client.body = Body::Literal(left);
                    }
                    rest = tail;
                }
                body @ (Body::Watched(left) | Body::Doubtful(left)) => {
                    self.counted = Counted::Perhaps;
                    let (octets, tail) = split_literal(rest, left);
                    if self.look(octets) == Verdict::End {
                        return Verdict::End;
                    }
                    let left = left.saturating_sub(octets.len() as u64);
                    self.client.body = match body {
                        _ if left == 0 => Body::Line,
                        Body::Watched(_) => Body::Watched(left),
                        _ => Body::Doubtful(left),
                    };
                    rest = tail;
                }
            }
        }
        Verdict::Pass
    }

    fn host_to_client(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while self.sight == Sight::Clear && !rest.is_empty() {
            if self.host.literal > 0 {
                let most = usize::try_from(self.host.literal).unwrap_or(usize::MAX);
                let octets = most.min(rest.len());
                self.host.literal = self.host.literal.saturating_sub(octets as u64);
                rest = rest.get_mut(octets..).unwrap_or_default();
                continue;
            }
            let end = split_line(rest).0.len();
            let Some((line, tail)) = rest.split_at_mut_checked(end) else {
                return;
            };
            rest = tail;
            let takes = self.takes();
            self.host.look(line);
            self.listing.read(line, self.host.said, takes);
            let Some(line) = line.strip_suffix(b"\n") else {
                self.host.line_goes_on(line);
                return;
            };
            if let Some(octets) = self.host.line_ends(line) {
                self.host.literal = octets;
                continue;
            }
            if self.host.place == Place::Doubtful {
                // A `+` may stand in a mail, too.
                self.counted = Counted::Perhaps;
            }
            let found = self.listing.end();
            self.listed(found, takes);
            let said = std::mem::take(&mut self.host.said);
            self.heard(said);
        }
    }

    /// BYE (RFC 9051 §7.1.5) between responses, while no command runs but an IDLE. No words where they may
    /// stand in the middle of a mail.
    fn goodbye(&self, reason: Farewell) -> Option<Vec<u8>> {
        let running = match self.idle {
            Idle::Yes => self.outstanding.saturating_sub(1),
            Idle::No => self.outstanding,
        };
        let between = self.host.said == Said::Nothing && !self.client.within && running == 0;
        match (self.sight, self.host.place) {
            (Sight::Blind, _) => Some(Vec::new()),
            (Sight::Clear | Sight::Ended, Place::Known) if between => {
                Some(reply::farewell(reason, &self.session))
            }
            (Sight::Clear | Sight::Ended, Place::Doubtful) if between => Some(Vec::new()),
            (Sight::Clear | Sight::Ended, _) => None,
        }
    }

    fn client_left(&self) -> Option<&'static str> {
        (self.leave == Leave::Taken).then_some("logout")
    }
}

/// The next line with its LF, or what there is of it, and what follows.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at.saturating_add(1));
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}

/// At most `left` octets, and what follows them.
fn split_literal(bytes: &[u8], left: u64) -> (&[u8], &[u8]) {
    let most = usize::try_from(left).unwrap_or(usize::MAX);
    bytes.split_at_checked(most).unwrap_or((bytes, &[]))
}

/// FNV-1a, octet by octet.
fn hash(hash: Hash, octet: u8) -> Hash {
    (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193)
}

const HASH: Hash = 0x811c_9dc5;
