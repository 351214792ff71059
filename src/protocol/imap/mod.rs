//! IMAP4rev1 and IMAP4rev2 up to login (RFC 3501, RFC 9051), and what POP3 needs of a mailbox.
//!
//! What of the RFCs is served here before login, and where; after login the gateway relays, or asks
//! the mailbox of a host for what a POP3 client wants.
//!
//! | command or response | RFC | method | file |
//! |---|---|---|---|
//! | greeting | RFC 9051 §7.1.1 | `greet` | `server.rs` |
//! | tag, astring, quoted | RFC 9051 §9 | `Tokens` | `grammar.rs` |
//! | literal | RFC 9051 §4.3, RFC 7888 | `announced` | `grammar.rs` |
//! | CAPABILITY | RFC 9051 §6.1.1 | `capability` | `server/commands.rs` |
//! | NOOP | RFC 9051 §6.1.2 | `noop` | `server/commands.rs` |
//! | LOGOUT | RFC 9051 §6.1.3 | `logout` | `server/commands.rs` |
//! | STARTTLS | RFC 9051 §6.2.1 | `starttls` | `server/commands.rs` |
//! | AUTHENTICATE | RFC 9051 §6.2.2, RFC 4959 | `authenticate` | `server/commands.rs` |
//! | LOGIN | RFC 9051 §6.2.3 | `login` | `server/commands.rs` |
//! | ENABLE | RFC 9051 §6.3.1, RFC 5161 | `enable` | `server/commands.rs` |
//! | ID | RFC 2971 §3.1 | `id` | `server/commands.rs` |
//! | tagged OK to a login | RFC 9051 §7.1 | `accept` | `server/conversation.rs` |
//! | tagged NO, response codes | RFC 9051 §7.1, RFC 5530 §3 | `failure` | `reply.rs` |
//! | BYE | RFC 9051 §7.1.5 | `farewell` | `reply.rs` |
//! | IDLE, DONE (watched) | RFC 2177 §3 | `Framing` | `framing.rs` |
//! | COMPRESS (watched) | RFC 4978 §3 | `Framing` | `framing.rs` |
//! | UNAUTHENTICATE (refused) | RFC 8437 §2 | `Framing` | `framing.rs` |
//! | SELECT of a host's mailbox | RFC 9051 §6.3.2 | `select` | `mailbox.rs` |
//! | STATUS, UIDVALIDITY, UIDNEXT | RFC 9051 §6.3.11, §2.3.1.1 | `status` | `opening.rs` |
//! | UID FETCH, BODY.PEEK | RFC 9051 §6.4.9, §6.4.5 | `send_fetch` | `mailbox.rs` |
//! | FETCH rows | RFC 9051 §7.5.2 | `row` | `fetch.rs` |
//! | literals, streamed | RFC 9051 §4.3 | `Reader` | `response.rs` |
//! | where literals may stand | RFC 9051 §9 `resp-text` | `may_hold_literals` | `first.rs` |
//! | is a message gone? | RFC 2180 §4.1 | `ask_whether_there` | `body/ending.rs` |
//! | UID STORE, UID EXPUNGE, UID MOVE | RFC 9051 §6.4.9, RFC 4315 §2.1, RFC 6851 §3 | `advance` | `update/stages.rs` |
//! | \Trash | RFC 6154 §5.2 | `find_trash` | `update/trash.rs` |
//! | sequence sets, ESEARCH | RFC 9051 §9, RFC 4731 §3.1 | `UidSet` | `uid_set.rs` |
//! | modified UTF-7 | RFC 3501 §5.1.3 | `quoted` | `name.rs` |

pub mod ask;
mod body;
pub mod client;
mod demand;
mod facts;
pub mod fetch;
mod first;
pub mod framing;
pub mod grammar;
mod heard;
pub mod mailbox;
mod name;
mod opening;
pub mod reply;
pub mod response;
pub mod server;
pub mod snapshot;
pub mod status;
mod tags;
pub mod uid_set;
mod update;
