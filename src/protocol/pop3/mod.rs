//! POP3 up to login (RFC 1939, 2449, 5034), and a maildrop served from an IMAP mailbox.
//!
//! What of the RFCs is served before login, and where; after login a host with POP3 is relayed, and
//! [`grammar`], [`multiline`] and [`unique_id`] serve the maildrop.
//!
//! | command or response | RFC | method | file |
//! |---|---|---|---|
//! | greeting | RFC 1939 §4 | `greet` | `server.rs` |
//! | command lines | RFC 1939 §3, RFC 2449 §4 | `parse` | `grammar.rs` |
//! | CAPA | RFC 2449 §5 | `capa` | `server/commands.rs` |
//! | STLS | RFC 2595 §4 | `stls` | `server/commands.rs` |
//! | USER | RFC 1939 §7 | `user` | `server/commands.rs` |
//! | PASS | RFC 1939 §7 | `pass` | `server/commands.rs` |
//! | AUTH | RFC 5034 §4 | `auth` | `server/commands.rs` |
//! | AUTH alone | RFC 5034 §4 (not in it) | `auth_list` | `server/commands.rs` |
//! | APOP (refused) | RFC 1939 §7 | `command` | `server/commands.rs` |
//! | UTF8 | RFC 6856 §2 | `command` | `server/commands.rs` |
//! | LANG | RFC 6856 §3 | `lang` | `reply.rs` |
//! | NOOP, QUIT | RFC 1939 §4, §5 | `command` | `server/commands.rs` |
//! | +OK to a login | RFC 1939 §4 | `accept` | `server.rs` |
//! | -ERR, response codes | RFC 2449 §8, RFC 3206 §4 | `failure` | `reply.rs` |
//! | multi-line responses, written | RFC 1939 §3 | `Stuffer` | `multiline.rs` |
//! | multi-line responses, watched | RFC 1939 §3 | `EndFinder` | `multiline.rs` |
//! | UIDL, unique ids | RFC 1939 §7, RFC 8474 §5.1 | `UidlFormat` | `unique_id.rs` |
//! | CAPA after login | RFC 2449 §5 | `capa` | `maildrop/commands.rs` |
//! | STAT | RFC 1939 §5 | `stat` | `maildrop/commands.rs` |
//! | LIST, UIDL | RFC 1939 §5, §7 | `list` | `maildrop/commands.rs` |
//! | RSET | RFC 1939 §5 | `rset` | `maildrop/commands.rs` |
//! | RETR | RFC 1939 §5 | `retr` | `maildrop/bodies.rs` |
//! | TOP | RFC 1939 §7 | `top` | `maildrop/bodies.rs` |
//! | DELE | RFC 1939 §5 | `dele` | `maildrop/update.rs` |
//! | QUIT after login | RFC 1939 §6 | `quit` | `maildrop/update.rs` |
//! | pipelined commands | RFC 2449 §6.6 | `Input` | `wish.rs` |
//! | goodbye in a relay | RFC 1939 §3, RFC 3206 §4 | `goodbye` | `observer.rs` |
//! | host's greeting | RFC 1939 §4 | `greeting` | `client/hear.rs` |
//! | host's CAPA | RFC 2449 §5 | `introduce` | `client/logging_in.rs` |
//! | host's AUTH-RESP-CODE | RFC 3206 §6 | `refused` | `client.rs` |
//! | host's STLS | RFC 2595 §4 | `stls` | `client/hear.rs` |
//! | USER, PASS to a host | RFC 1939 §7 | `pass` | `client/logging_in.rs` |
//! | AUTH to a host | RFC 5034 §4 | `auth` | `client/logging_in.rs` |
//! | host's response codes | RFC 2449 §8.1, RFC 3206 §4 | `code` | `client/says.rs` |

mod ahead;
pub mod client;
pub mod config;
pub mod grammar;
pub mod maildrop;
mod marks;
pub mod multiline;
pub mod observer;
pub mod reply;
mod sending;
pub mod server;
mod top;
pub mod unique_id;
mod wish;
mod xclient;

pub use config::Settings;
