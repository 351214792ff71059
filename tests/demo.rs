//! The built-in store as mail programs meet it: conversations as data, over a stream that is cut
//! anywhere.
#![allow(clippy::unwrap_used)] // A test that cannot go on must fail.

use std::sync::Arc;

use gatepost::demo::{Store, serve_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// 2026-11-21 12:00:00 UTC: UIDVALIDITYs and dates follow from it.
fn noon() -> i64 {
    1_795_262_400
}

fn store() -> Arc<Store> {
    Arc::new(Store::with_clock(noon))
}

/// A client that is connected to the store.
struct Client {
    stream: DuplexStream,
    unread: Vec<u8>,
}

impl Client {
    async fn new(store: &Arc<Store>) -> Client {
        let (stream, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve_with(Arc::clone(store), theirs));
        let mut client = Client {
            stream,
            unread: Vec::new(),
        };
        client.line().await;
        client
    }

    /// A client that has logged in and selected INBOX.
    async fn inbox(store: &Arc<Store>) -> Client {
        let mut client = Client::new(store).await;
        client.ask("LOGIN demo demo").await;
        client.ask("SELECT INBOX").await;
        client
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line; octets that are no UTF-8 are replaced.
    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return String::from_utf8_lossy(&line).trim_end().to_owned();
            }
            let mut chunk = [0; 4096];
            let read = self.stream.read(&mut chunk).await.unwrap();
            assert!(read > 0, "closed");
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }

    /// Everything up to the tagged reply, the command's tag left out of it.
    async fn ask(&mut self, command: &str) -> Vec<String> {
        self.send(&format!("t {command}\r\n")).await;
        self.answer().await
    }

    async fn answer(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if let Some(reply) = line.strip_prefix("t ") {
                lines.push(reply.to_owned());
                return lines;
            }
            lines.push(line);
        }
    }
}

#[tokio::test]
async fn log_in_look_around_read_flag_and_expunge() {
    let mut client = Client::new(&store()).await;
    let failed = client.ask("LOGIN demo wrong").await;
    assert!(
        failed[0].starts_with("NO [AUTHENTICATIONFAILED]"),
        "{failed:?}"
    );
    assert!(client.ask("LOGIN demo@x demo").await[0].starts_with("OK [CAPABILITY IMAP4rev1 "));
    assert_eq!(
        client.ask("LIST \"\" *").await,
        [
            "* LIST (\\HasNoChildren \\Archive) \"/\" Archive",
            "* LIST (\\HasNoChildren \\Drafts) \"/\" Drafts",
            "* LIST (\\HasNoChildren) \"/\" INBOX",
            "* LIST (\\HasNoChildren \\Sent) \"/\" Sent",
            "* LIST (\\HasNoChildren \\Trash) \"/\" Trash",
            "OK done",
        ]
    );
    assert_eq!(
        client.ask("SELECT inbox").await,
        [
            "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)",
            "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] flags are kept",
            "* 7 EXISTS",
            "* 7 RECENT",
            "* OK [UNSEEN 1] first unseen",
            "* OK [UIDVALIDITY 1795262400] UIDs valid",
            "* OK [UIDNEXT 8] predicted next UID",
            "OK [READ-WRITE] selected",
        ]
    );
    assert_eq!(
        client.ask("FETCH 6 BODY.PEEK[TEXT]<0.7>").await,
        ["* 6 FETCH (BODY[TEXT]<0> {7}", "We move)", "OK done"]
    );
    assert_eq!(
        client.ask("STORE 2,4 +FLAGS (\\Deleted)").await,
        [
            "* 2 FETCH (UID 2 FLAGS (\\Deleted \\Recent))",
            "* 4 FETCH (UID 4 FLAGS (\\Deleted \\Seen \\Recent))",
            "OK stored",
        ]
    );
    assert_eq!(
        client.ask("EXPUNGE").await,
        ["* 2 EXPUNGE", "* 3 EXPUNGE", "OK expunged"]
    );
    assert_eq!(
        client.ask("UID SEARCH ALL").await,
        ["* SEARCH 1 3 5 6 7", "OK done"]
    );
    assert_eq!(
        client.ask("LOGOUT").await,
        ["* BYE until next time", "OK done"]
    );
}
