//! The usual stage: a Dovecot with mail, the gateway before it, everything in a folder of its own.

use super::dovecot::Dovecot;
use super::gateway::{Gateway, Settings};
use super::pki::Pki;
use super::scratch::Scratch;
use super::users::User;

/// What most tests play on. Fields are dropped in this order: the gateway first, the folder last.
pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) dovecot: Dovecot,
    pub(crate) pki: Pki,
    pub(crate) scratch: Scratch,
}

impl Stage {
    /// Everybody's mail is on Dovecot, spoken to by IMAP in clear.
    pub(crate) fn new() -> Stage {
        Stage::with(|dovecot, _| Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap)))
    }

    /// POP3 clients are relayed to Dovecot's own POP3.
    pub(crate) fn relaying_pop3() -> Stage {
        Stage::with(|dovecot, _| Settings::to(both(dovecot.imap, dovecot.pop3)))
    }

    pub(crate) fn with(settings: impl FnOnce(&Dovecot, &Pki) -> Settings) -> Stage {
        Stage::on(Dovecot::start, settings)
    }

    /// The same on a Dovecot of the test's own making.
    pub(crate) fn on(
        dovecot: impl FnOnce(&Scratch, &Pki) -> Dovecot,
        settings: impl FnOnce(&Dovecot, &Pki) -> Settings,
    ) -> Stage {
        let scratch = Scratch::new();
        let pki = Pki::new(&scratch);
        let dovecot = dovecot(&scratch, &pki);
        let gateway = settings(&dovecot, &pki).start(&scratch, &pki);
        Stage {
            gateway,
            dovecot,
            pki,
            scratch,
        }
    }

    /// With mail in a user's INBOX.
    pub(crate) fn delivered(self, user: User, messages: &[Vec<u8>]) -> Stage {
        self.dovecot.deliver(user.name, messages);
        self
    }
}

/// A backend of one host with an endpoint for each protocol.
pub(crate) fn both(imap: u16, pop3: u16) -> String {
    format!(
        "{{ hosts: [{{ name: store, imap: \"imap://127.0.0.1:{imap}\", pop3: \"pop3://127.0.0.1:{pop3}\" }}] }}"
    )
}
