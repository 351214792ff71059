//! A client of the built-in store that tests tell what to say.

use std::sync::Arc;

use gatepost::demo::{Store, serve_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// A client that is connected to the store.
pub(crate) struct Client {
    stream: DuplexStream,
    unread: Vec<u8>,
}

impl Client {
    pub(crate) async fn new(store: &Arc<Store>) -> Client {
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
    pub(crate) async fn inbox(store: &Arc<Store>) -> Client {
        let mut client = Client::new(store).await;
        client.ask("LOGIN demo demo").await;
        client.ask("SELECT INBOX").await;
        client
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line; octets that are no UTF-8 are replaced.
    pub(crate) async fn line(&mut self) -> String {
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
    pub(crate) async fn ask(&mut self, command: &str) -> Vec<String> {
        self.send(&format!("t {command}\r\n")).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> Vec<String> {
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
