//! What each command does: those that are done at once, here; the way to the others.

use std::sync::Arc;

use super::command::Command;
use super::folders;
use super::session::{AFTER_LOGIN, BEFORE_LOGIN, Mode, Session, State};
use super::store::Room;

impl Session {
    /// Executes a command that fits the state. `room` is what was kept for its message.
    pub(super) fn execute(&mut self, tag: &str, command: Command, room: Option<Room>) {
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
}
