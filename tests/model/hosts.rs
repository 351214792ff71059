//! Scripted hosts inside the process, one a user; each says who it is and keeps what it heard.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::time::{sleep, timeout};

use super::reference::{Mood, SLOW, USERS};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(100);

/// One end of a connection.
pub(super) type Client = BufReader<DuplexStream>;

/// What the hosts do, and all that they heard.
pub(super) struct Hosts {
    pub(super) moods: Mutex<[Mood; USERS]>,
    heard: Mutex<[Vec<String>; USERS]>,
}

impl Hosts {
    pub(super) fn new() -> Self {
        Hosts {
            moods: Mutex::new([Mood::Well; USERS]),
            heard: Mutex::default(),
        }
    }

    /// What they heard is their own users' only.
    pub(super) fn heard_their_own_only(&self) {
        let heard = self.heard.lock().unwrap();
        for (host, lines) in heard.iter().enumerate() {
            for line in lines {
                let others = (0..USERS).filter(|n| *n != host);
                for other in others {
                    let marks = [format!("user{other}"), format!("of-{other}-")];
                    let line = line.to_ascii_lowercase();
                    assert!(
                        !marks.iter().any(|mark| line.contains(mark)),
                        "host {host} heard {line}"
                    );
                }
                assert!(!line.contains("stranger"), "host {host} heard {line}");
            }
        }
    }

    pub(super) fn dial(self: &Arc<Self>, host: &str) -> Option<DuplexStream> {
        let host: usize = host.strip_prefix("host")?.parse().ok()?;
        let mood = self.moods.lock().unwrap()[host];
        assert_ne!(mood, Mood::Panics, "as this host is to do");
        if mood == Mood::Away {
            return None;
        }
        let (theirs, ours) = duplex(64 * 1024);
        let hosts = self.clone();
        tokio::spawn(async move {
            let mut stream = BufReader::new(ours);
            hosts
                .serve(host, mood, &mut stream)
                .await
                .unwrap_or_default();
        });
        Some(theirs)
    }

    async fn serve(&self, host: usize, mood: Mood, stream: &mut Client) -> std::io::Result<()> {
        let greeting = match mood {
            Mood::Mute => {
                // As long as the gateway stays.
                stream.read_line(&mut String::new()).await?;
                return Ok(());
            }
            Mood::Closes => return Ok(()),
            Mood::Bye => "* BYE busy\r\n",
            Mood::Smtp => "220 host ESMTP\r\n",
            Mood::Preauth => "* PREAUTH welcome\r\n",
            Mood::Hasty => "* OK [CAPABILITY IMAP4rev1] here\r\nA1 OK in\r\n",
            _ => "* OK [CAPABILITY IMAP4rev1] here\r\n",
        };
        stream.write_all(greeting.as_bytes()).await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            self.heard.lock().unwrap()[host].push(line.clone());
            let mut words = line.split(' ');
            let tag = words.next().unwrap_or_default();
            let login = words.next() == Some("LOGIN");
            let right = line.contains(&format!("\"secret-of-{host}-\""));
            let answer = match (mood, login) {
                (Mood::Stuck, true) => continue,
                (Mood::ClosesAtLogin, true) => return Ok(()),
                (Mood::Unavailable, true) => format!("{tag} NO [UNAVAILABLE] later\r\n"),
                (Mood::Drowsy(_), false) if !line.contains(" SELECT ") => continue,
                (Mood::Drowsy(_), false) => {
                    format!("* 1 EXISTS\r\n* OK [UIDVALIDITY 7]\r\n{tag} OK [READ-WRITE] open\r\n")
                }
                (_, true) if right => {
                    if let Mood::Drowsy(takes) = mood {
                        sleep(takes).await;
                    }
                    format!("{tag} OK in\r\n")
                }
                (_, true) => {
                    if mood == Mood::Slow {
                        sleep(SLOW).await;
                    }
                    format!("{tag} NO no such user at host{host}\r\n")
                }
                (_, false) => format!("* OK host {host}\r\n{tag} OK done\r\n"),
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

/// A line; nothing at the end of the stream.
pub(super) async fn line(stream: &mut Client) -> String {
    let mut line = String::new();
    let read = timeout(PATIENCE, stream.read_line(&mut line)).await;
    assert!(read.is_ok(), "no answer within {PATIENCE:?}");
    line
}
