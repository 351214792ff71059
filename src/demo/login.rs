//! What changes a session's state: LOGIN, AUTHENTICATE, SELECT and EXAMINE; and APPEND, which needs
//! no selected mailbox but is told in one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::account::{Account, Arrival, Full};
use super::command::Append;
use super::folders;
use super::session::{AFTER_LOGIN, Mode, Session, State, refusal};
use super::store::Room;
use super::view::{Access, View};

impl Session {
    /// LOGIN (RFC 3501 §6.2.3).
    pub(super) fn login(&mut self, tag: &str, user: &[u8], password: &[u8]) {
        let local = user.split(|&b| b == b'@').next().unwrap_or_default();
        if local.eq_ignore_ascii_case(b"demo") && password == b"demo" {
            self.state = State::Authenticated;
            self.finish(tag, &format!("OK [CAPABILITY {AFTER_LOGIN}] logged in"));
        } else {
            let no = "NO [AUTHENTICATIONFAILED] it is user demo, password demo";
            self.finish(tag, no);
        }
    }

    /// AUTHENTICATE (RFC 3501 §6.2.2, RFC 4959).
    pub(super) fn authenticate(&mut self, tag: &str, mechanism: &str, initial: Option<Vec<u8>>) {
        match initial {
            _ if mechanism != "PLAIN" => {
                self.finish(tag, "NO [CANNOT] expected the mechanism PLAIN");
            }
            // `=` is the empty one.
            Some(initial) if initial == b"=" => self.sasl(tag, b""),
            Some(initial) => self.sasl(tag, &initial),
            None => {
                self.out.bytes(b"+ \r\n");
                self.mode = Mode::Sasl(tag.to_owned());
            }
        }
    }

    /// A response of SASL PLAIN (RFC 4616): `authzid NUL authcid NUL password`.
    pub(super) fn sasl(&mut self, tag: &str, response: &[u8]) {
        if response == b"*" {
            return self.finish(tag, "BAD given up");
        }
        let Ok(plain) = STANDARD.decode(response) else {
            return self.finish(tag, "BAD expected base64");
        };
        match plain.split(|&b| b == 0).collect::<Vec<_>>().as_slice() {
            [for_whom, user, password] if for_whom.is_empty() || for_whom == user => {
                self.login(tag, user, password);
            }
            _ => self.login(tag, b"", b""),
        }
    }

    /// SELECT, EXAMINE (RFC 3501 §6.3.1, §6.3.2). If it fails, nothing is selected any more.
    pub(super) fn select(&mut self, tag: &str, name: &str, access: Access) {
        let out = &mut self.out;
        let view = self.store.with(|account| {
            let mailbox = account.named(name)?.validity;
            Some(View::open(account, mailbox, access, out))
        });
        self.state = match view {
            None => State::Authenticated,
            Some(view) => State::Selected(view),
        };
        match (&self.state, access) {
            (State::Selected(_), Access::ReadWrite) => self.reply(tag, "OK [READ-WRITE] selected"),
            (State::Selected(_), Access::ReadOnly) => self.reply(tag, "OK [READ-ONLY] examined"),
            _ => self.reply(tag, &format!("NO {}", folders::NONE)),
        }
    }

    /// APPEND (RFC 3501 §6.3.11, RFC 4315 §3).
    pub(super) fn append(&mut self, append: Append, room: Option<Room>) -> String {
        let now = self.store.now();
        let Some(room) = room.filter(|_| !append.message.is_empty()) else {
            return "NO [CANNOT] the message is empty".to_owned();
        };
        if memchr::memchr(0, &append.message).is_some() {
            return "NO [CANNOT] the message holds a NUL".to_owned();
        }
        let deliver = |account: &mut Account| {
            let Some(mailbox) = account
                .named(&append.mailbox)
                .map(|mailbox| mailbox.validity)
            else {
                return Ok("NO [TRYCREATE] there is no mailbox of that name".to_owned());
            };
            let arrival = Arrival {
                flags: account.flags(&append.flags)?,
                date: append.date.unwrap_or(now),
                raw: append.message,
                room,
            };
            let uids = account.deliver(mailbox, vec![arrival])?;
            let uid = super::set::compact(&uids);
            Ok(format!("OK [APPENDUID {mailbox} {uid}] appended"))
        };
        let reply = self.store.with(deliver);
        reply.unwrap_or_else(|full: Full| refusal(full).to_owned())
    }
}
