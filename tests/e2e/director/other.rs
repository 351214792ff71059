//! Another gateway, as far as those under test see it: a state of this process beside theirs.

use gatepost::protocol::UserName;
use gatepost::state::mover::{Job, Wish};
use gatepost::state::{Claim, Claimed, Config, Owner, Pass, Place, State};
use tokio::runtime::Runtime;

use super::*;

/// Dead when dropped: then nobody of it asks for anything any more.
pub(super) struct Other {
    runtime: Runtime,
    state: Arc<State>,
}

impl Other {
    pub(super) fn of(config: &Config) -> Other {
        let runtime = Runtime::new().unwrap();
        let state = State::open(config).unwrap();
        runtime.block_on(state.start());
        Other { runtime, state }
    }

    pub(super) fn missed(&self) -> bool {
        self.state.trouble().is_some()
    }

    /// Whether it knows that somebody was moved.
    pub(super) fn knows_a_move(&self) -> bool {
        self.state.orders().moves().len() > 0
    }

    /// A session through it, and whether that was asked to leave. Who was moved is where that leads to.
    pub(super) fn session(&self, user: &str, host: &str) -> Option<(Claim, Arc<AtomicBool>)> {
        let mut pass = Pass::plain("old", &UserName::new(user.as_bytes()).unwrap());
        let mut place = Place::new("old", host);
        if let Some((_, moved)) = self.state.orders().moved(&pass.owner, &pass.named) {
            pass.moved = moved.version;
            place = Place::new(&moved.backend, host);
        }
        let claim = match self.runtime.block_on(self.state.claim(&pass, &place)) {
            Claimed::Here(claim) => claim,
            _ => {
                assert!(self.missed(), "{user} was refused on {host}");
                return None;
            }
        };
        let asked = Arc::new(AtomicBool::new(false));
        let flag = asked.clone();
        claim.on_leave(Arc::new(move || flag.store(true, Ordering::Relaxed)));
        Some((claim, asked))
    }

    pub(super) fn end(&self, sessions: impl Sized) {
        self.runtime.block_on(async { drop(sessions) });
    }

    /// Begins to move a user from `old` to `new`.
    pub(super) fn begin_move(&self, user: &str) -> Arc<Job> {
        let wish = Wish {
            owner: Owner::new("old", &UserName::new(user.as_bytes()).unwrap()),
            user: user.to_owned(),
            to: Some(("new".to_owned(), None)),
        };
        let state = &self.state;
        self.runtime
            .block_on(async { state.move_users(vec![wish]) })
    }
}
