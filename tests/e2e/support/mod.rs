//! What the tests stand on: processes, ports, certificates, mail, and both ends of a conversation.

pub(crate) mod crowd;
pub(crate) mod dovecot;
pub(crate) mod exchanges;
pub(crate) mod gateway;
pub(crate) mod imap;
pub(crate) mod legacy;
pub(crate) mod lookup;
pub(crate) mod mail;
pub(crate) mod need;
pub(crate) mod pki;
pub(crate) mod pop3;
pub(crate) mod process;
pub(crate) mod scratch;
pub(crate) mod scripted;
pub(crate) mod stage;
pub(crate) mod users;
pub(crate) mod wire;

pub(crate) use dovecot::Dovecot;
pub(crate) use gateway::Gateway;
pub(crate) use imap::Imap;
pub(crate) use pop3::Pop3;
pub(crate) use scratch::Scratch;
pub(crate) use stage::Stage;
pub(crate) use users::{ALICE, BOB};
