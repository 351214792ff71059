//! The built-in mail store behind `demo://`: a small IMAP4rev1 server (RFC 3501) on mail in memory,
//! so that the gateway can be tried, and tested, with no server at hand. User `demo`, password
//! `demo`. POP3 clients are served by translation, as from any IMAP host.
//!
//! Extensions: LITERAL+ (RFC 7888), SASL-IR (4959), ID (2971), ENABLE (5161), NAMESPACE (2342), IDLE
//! (2177), UNSELECT (3691), CHILDREN (3348), SPECIAL-USE (6154), UIDPLUS (4315), MOVE (6851), ESEARCH
//! (4731), STATUS=SIZE (8438), APPENDLIMIT (7889). `session` is the conversation; read it first.

mod account;
mod address;
mod command;
mod date;
mod execute;
mod fetch;
mod folders;
mod grammar;
mod input;
mod job;
mod login;
mod mail;
mod output;
mod parse;
mod readable;
mod search;
mod seed;
mod selected;
mod session;
mod set;
mod store;
mod structure;
mod view;

use std::io;
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use session::{Session, Step};
pub use store::Store;

/// Octets read at a time.
const CHUNK: usize = 16 * 1024;

/// The user that is there; any domain behind it is taken, too.
pub const USER: &str = "demo";

/// That user's password.
pub const PASSWORD: &str = "demo";

/// Serves one connection on the process's own store until either side ends it.
///
/// # Errors
/// The stream's. A client that goes without LOGOUT is none.
pub async fn serve<S>(stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    static STORE: OnceLock<Arc<Store>> = OnceLock::new();
    let store = STORE.get_or_init(|| Arc::new(Store::new()));
    serve_with(Arc::clone(store), stream).await
}

/// Serves one connection on a given store until either side ends it.
///
/// # Errors
/// The stream's. A client that goes without LOGOUT is none.
pub async fn serve_with<S>(store: Arc<Store>, mut stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut changes = store.watch();
    let mut session = Session::new(store);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match session.step() {
            Step::Write(pieces) => {
                for piece in pieces {
                    stream.write_all(&piece).await?;
                }
                stream.flush().await?;
                continue;
            }
            Step::Again => {
                tokio::task::yield_now().await;
                continue;
            }
            Step::Close => return stream.shutdown().await,
            Step::Read => stream.read(&mut chunk).await?,
            Step::Idle => tokio::select! {
                read = stream.read(&mut chunk) => read?,
                // The sender lives in the store, which the session holds.
                _ = changes.changed() => {
                    session.wake();
                    continue;
                }
            },
        };
        match chunk.get(..read) {
            Some(bytes) if read > 0 => session.receive(bytes),
            _ => return Ok(()),
        }
    }
}
