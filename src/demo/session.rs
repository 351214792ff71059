//! One client's conversation: octets in, steps out; no IO and no waiting. Reads the commands one
//! after the other, keeps the state (RFC 3501 §3), and answers what needs no selected mailbox;
//! `selected` has the rest.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::command::{self, Append, Command, Needs};
use super::folders;
use super::input::{Frame, Input, Kind, Piece, TooLong};
use super::output::Output;
use super::parse::{Bad, Cursor};
use super::selected::Job;
use super::store::{Account, Arrival, Full, MESSAGE, QUOTA, Room, Store};
use super::view::{Access, Expunges, View};

/// Answers are handed out when so much has gathered, so that a client that sends many commands
/// at once cannot fill the memory.
const GATHER: usize = 64 * 1024;

const BEFORE_LOGIN: &str = "IMAP4rev1 SASL-IR LITERAL+ ID ENABLE AUTH=PLAIN";
const AFTER_LOGIN: &str = "IMAP4rev1 LITERAL+ ID ENABLE NAMESPACE IDLE UNSELECT CHILDREN \
    SPECIAL-USE UIDPLUS MOVE ESEARCH STATUS=SIZE APPENDLIMIT=8388608";
const _: () = assert!(MESSAGE == 8_388_608);

/// What the session wants done next.
#[derive(Debug)]
pub(super) enum Step {
    /// Octets from the client are needed.
    Read,
    /// Octets from the client, or a change of the store: then [`Session::wake`].
    Idle,
    /// Write these.
    Write(Vec<Bytes>),
    /// A long search goes on: others may have their turn first.
    Again,
    /// It is over.
    Close,
}

/// A conversation with one client.
pub(super) struct Session {
    pub(super) store: Arc<Store>,
    pub(super) out: Output,
    pub(super) state: State,
    input: Input,
    mode: Mode,
    job: Option<Job>,
    /// Room for the message that is on its way in.
    room: Option<Room>,
    /// What is answered to a command whose literal was thrown away.
    refused: Option<&'static str>,
}

/// RFC 3501 §3.
pub(super) enum State {
    NotAuthenticated,
    Authenticated,
    Selected(View),
    Logout,
}

/// How the client's next octets are to be read.
enum Mode {
    Commands,
    /// A line of SASL for the command of that tag.
    Sasl(String),
    /// `DONE` for the IDLE of that tag.
    Idle(String),
}

impl Session {
    /// A conversation that starts with the greeting.
    pub(super) fn new(store: Arc<Store>) -> Self {
        let mut out = Output::default();
        let ready = "the built-in demo store is ready: user demo, password demo";
        out.line(format_args!("* OK [CAPABILITY {BEFORE_LOGIN}] {ready}"));
        Session {
            store,
            out,
            state: State::NotAuthenticated,
            input: Input::default(),
            mode: Mode::Commands,
            job: None,
            room: None,
            refused: None,
        }
    }

    /// Takes octets from the client.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.input.receive(bytes);
    }

    /// The store may have changed: an idling client is told (RFC 2177).
    pub(super) fn wake(&mut self) {
        if matches!(self.mode, Mode::Idle(_)) {
            self.sync(Expunges::Told);
        }
    }

    /// What to do next.
    pub(super) fn step(&mut self) -> Step {
        loop {
            if self.out.len() >= GATHER {
                return Step::Write(self.out.take());
            }
            if let Some(job) = self.job.take() {
                self.job = job.advance(self);
                if matches!(self.job, Some(Job::Search(_))) {
                    return Step::Again;
                }
                continue;
            }
            let more = match self.state {
                State::Logout => Some(Step::Close),
                _ => self.next(),
            };
            match more {
                None => {}
                Some(_) if self.out.len() > 0 => return Step::Write(self.out.take()),
                Some(step) => return step,
            }
        }
    }

    /// Deals with one thing the client sent; or says what is needed first.
    fn next(&mut self) -> Option<Step> {
        if let Mode::Commands = self.mode {
            match self.input.frame() {
                Frame::More => return Some(Step::Read),
                Frame::Command(pieces) => self.command(&pieces),
                Frame::Announced { size, kind } => self.literal(size, kind),
                Frame::TooLong => self.bye("a command may have 64 KiB"),
            }
            return None;
        }
        let line = match self.input.line() {
            Err(TooLong) => {
                self.bye("a line may have 64 KiB");
                return None;
            }
            Ok(line) => line,
        };
        match (std::mem::replace(&mut self.mode, Mode::Commands), line) {
            (Mode::Commands, _) => None,
            (Mode::Sasl(tag), Some(line)) => {
                self.sasl(&tag, &line);
                None
            }
            (Mode::Idle(tag), Some(line)) => {
                match line.eq_ignore_ascii_case(b"DONE") {
                    true => self.finish(&tag, "OK IDLE done"),
                    false => self.finish(&tag, "BAD expected DONE"),
                }
                None
            }
            (mode @ Mode::Sasl(_), None) => {
                self.mode = mode;
                Some(Step::Read)
            }
            (mode @ Mode::Idle(_), None) => {
                self.mode = mode;
                Some(Step::Idle)
            }
        }
    }

    /// Decides on a literal before it is sent (RFC 3501 §4.3, RFC 7888).
    fn literal(&mut self, size: u64, kind: Kind) {
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        let logged_in = !matches!(self.state, State::NotAuthenticated);
        let refusal = if logged_in && command::awaits_message(self.input.pieces()) {
            self.room = None;
            if length > MESSAGE {
                "NO [TOOBIG] a message may have 8 MiB here"
            } else if let Some(room) = self.store.reserve(length) {
                self.room = Some(room);
                return self.take_literal(length, 0, kind);
            } else {
                refusal(Full::Quota)
            }
        } else if length <= self.input.room() {
            return self.take_literal(length, length, kind);
        } else {
            "BAD a command may have 64 KiB"
        };
        match kind {
            Kind::Synchronizing => {
                let tag = command::tag(&mut Cursor::new(self.input.pieces()));
                self.input.forget();
                self.refused = None;
                match tag {
                    Some(tag) => self.finish(&tag, refusal),
                    None => self.bad_tag(),
                }
            }
            // It is on its way: it must be read before the answer, or it would be taken for
            // commands.
            Kind::NonSynchronizing if length <= QUOTA => {
                self.refused.get_or_insert(refusal);
                self.input.skip(size);
            }
            Kind::NonSynchronizing => self.bye("the literal is too long"),
        }
    }

    fn take_literal(&mut self, length: usize, counted: usize, kind: Kind) {
        self.input.keep(length, counted);
        if kind == Kind::Synchronizing {
            self.out.bytes(b"+ go ahead\r\n");
        }
    }

    fn command(&mut self, pieces: &[Piece]) {
        let refused = self.refused.take();
        let room = self.room.take();
        let Some((tag, command)) = command::parse(pieces) else {
            return self.bad_tag();
        };
        let command = match (refused, command) {
            (Some(refused), _) => return self.finish(&tag, refused),
            (None, Err(Bad(text))) => return self.finish(&tag, &format!("BAD {text}")),
            (None, Ok(command)) => command,
        };
        let wrong = match (command.needs(), &self.state) {
            (Needs::NoLogin, State::Authenticated | State::Selected(_)) => "BAD logged in already",
            (Needs::Login | Needs::Mailbox, State::NotAuthenticated) => "BAD log in first",
            (Needs::Mailbox, State::Authenticated) => "BAD select a mailbox first",
            _ => return self.execute(&tag, command, room),
        };
        self.finish(&tag, wrong);
    }

    fn execute(&mut self, tag: &str, command: Command, room: Option<Room>) {
        let out = &mut self.out;
        let store = Arc::clone(&self.store);
        let now = store.now();
        let result = match command {
            Command::Capability => {
                let list = match self.state {
                    State::NotAuthenticated => BEFORE_LOGIN,
                    _ => AFTER_LOGIN,
                };
                out.line(format_args!("* CAPABILITY {list}"));
                Ok(())
            }
            Command::Noop | Command::Check => Ok(()),
            Command::Logout => {
                out.line(format_args!("* BYE until next time"));
                self.state = State::Logout;
                Ok(())
            }
            Command::Id => {
                let version = env!("CARGO_PKG_VERSION");
                out.line(format_args!(
                    "* ID (\"name\" \"Gatepost demo store\" \"version\" \"{version}\")"
                ));
                Ok(())
            }
            Command::Login { user, password } => return self.login(tag, &user, &password),
            Command::Authenticate { mechanism, initial } => {
                return self.authenticate(tag, &mechanism, initial);
            }
            Command::Namespace => {
                out.line(format_args!("* NAMESPACE ((\"\" \"/\")) NIL NIL"));
                Ok(())
            }
            // There is nothing that needs enabling (RFC 5161 §3.1).
            Command::Enable => {
                out.line(format_args!("* ENABLED"));
                Ok(())
            }
            Command::List(list) => {
                store.with(|account| folders::list(account, &list, out));
                Ok(())
            }
            Command::Lsub { reference, pattern } => {
                store.with(|account| folders::lsub(account, &reference, &pattern, out));
                Ok(())
            }
            Command::Create(name) => store.with(|account| folders::create(account, &name, now)),
            Command::Delete(name) => store.with(|account| folders::delete(account, &name)),
            Command::Rename { from, to } => {
                store.with(|account| folders::rename(account, &from, &to, now))
            }
            Command::Subscribe(name) => store.with(|account| folders::subscribe(account, &name)),
            Command::Unsubscribe(name) => {
                store.with(|account| account.subscribed.remove(&name));
                Ok(())
            }
            Command::Status(name, items) => {
                store.with(|account| folders::status(account, &name, &items, out))
            }
            Command::Select(name, access) => return self.select(tag, &name, access),
            Command::Append(append) => {
                let reply = self.append(append, room);
                return self.finish(tag, &reply);
            }
            Command::Idle => {
                self.out.bytes(b"+ idling\r\n");
                self.mode = Mode::Idle(tag.to_owned());
                return self.wake();
            }
            Command::Close => return self.close(tag),
            Command::Unselect => {
                self.state = State::Authenticated;
                Ok(())
            }
            Command::Expunge(uids) => return self.expunge(tag, uids.as_ref()),
            Command::Search(by, search) => return self.search(tag, by, search),
            Command::Fetch { by, set, items } => return self.fetch(tag, by, &set, items),
            Command::Store {
                by,
                set,
                change,
                told,
                flags,
            } => return self.store_flags(tag, by, &set, (change, told), &flags),
            Command::Copy { by, set, to, kind } => return self.copy(tag, by, &set, &to, kind),
        };
        match result {
            Ok(()) => self.finish(tag, "OK done"),
            Err(no) => self.finish(tag, &format!("NO {no}")),
        }
    }

    /// LOGIN (RFC 3501 §6.2.3).
    fn login(&mut self, tag: &str, user: &[u8], password: &[u8]) {
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
    fn authenticate(&mut self, tag: &str, mechanism: &str, initial: Option<Vec<u8>>) {
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
    fn sasl(&mut self, tag: &str, response: &[u8]) {
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
    fn select(&mut self, tag: &str, name: &str, access: Access) {
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
    fn append(&mut self, append: Append, room: Option<Room>) -> String {
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

    /// Starts something that takes more than one step.
    pub(super) fn begin(&mut self, job: Job) {
        self.job = Some(job);
    }

    /// Tells the client what others did to its mailbox.
    pub(super) fn sync(&mut self, expunges: Expunges) {
        if let State::Selected(view) = &mut self.state {
            let out = &mut self.out;
            self.store.with(|account| view.sync(account, expunges, out));
        }
    }

    /// Ends a command: what others did, then the tagged reply.
    pub(super) fn finish(&mut self, tag: &str, reply: &str) {
        self.sync(Expunges::Told);
        self.reply(tag, reply);
    }

    /// The tagged reply.
    pub(super) fn reply(&mut self, tag: &str, reply: &str) {
        self.out.line(format_args!("{tag} {reply}"));
    }

    /// A tag that is none is not repeated.
    fn bad_tag(&mut self) {
        self.out
            .line(format_args!("* BAD expected a tag and a command"));
    }

    fn bye(&mut self, why: &str) {
        self.out.line(format_args!("* BYE {why}"));
        self.state = State::Logout;
    }
}

/// The reply to a command there is no room for.
pub(super) fn refusal(full: Full) -> &'static str {
    match full {
        Full::Quota => "NO [OVERQUOTA] the demo store is full: it holds 64 MiB in all",
        Full::Keywords => "NO [LIMIT] the demo store has no room for another keyword",
        Full::Uids => "NO [LIMIT] the mailbox has used up its UIDs",
    }
}
