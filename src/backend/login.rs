//! Plays a [`Client`] over a real stream: the one place where a host's login meets time and bytes.
//!
//! Two deadlines, and nothing a host says extends them: one until its greeting, one from there to
//! the accepted login. A challenge of the host's goes to whoever holds the mail client, who has a while
//! to answer. Knows no protocol; what is read and written is the client's business.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use zeroize::Zeroizing;

use super::tls::{self, HostTls};
use super::{ANSWER, Dialogue};
use crate::net::Stream;
use crate::protocol::sasl::Answer;
use crate::protocol::{Client, Failure, HostStep, READ_CHUNK, Welcome};

/// How much of a host's words is read at a time: most of its answers before a login, and no more than a login that
/// waits needs.
const CHUNK: usize = 2 * 1024;
const _: () = assert!(CHUNK <= READ_CHUNK);

/// How long a login may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until the greeting is there, an implicit TLS handshake included.
    pub(super) greeting: Instant,
    /// From then on until the login is accepted.
    pub(super) login: Duration,
}

/// A conversation that was played to its end.
pub(super) struct Played {
    /// As it is then: upgraded, if so asked.
    pub(super) stream: Stream,
    pub(super) welcome: Welcome,
    /// When the time for the login would have been over.
    pub(super) until: Instant,
}

/// TLS for an upgrade: the settings, and the host's name.
pub(super) type Upgrade<'a> = Option<(&'a HostTls, &'a str)>;

/// Plays the conversation to its end.
pub(super) async fn play(
    mut stream: Stream,
    client: &mut dyn Client,
    patience: Patience,
    upgrade: Upgrade<'_>,
    dialogue: &mut dyn Dialogue,
) -> Result<Played, Failure> {
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut deadline = patience.greeting;
    let mut greeted = false;
    loop {
        let step = client.step();
        if !greeted && client.state() != "greeting" {
            greeted = true;
            deadline = Instant::now() + patience.login;
        }
        let late = |state| Failure::TimedOut { state };
        match step {
            HostStep::Read => {
                chunk.clear();
                let read = timeout_at(deadline, stream.read_buf(&mut chunk)).await;
                match read.map_err(|_| late(client.state()))? {
                    Ok(0) => client.closed(),
                    // In TLS 1.3 a host refuses our certificate, or its lack, behind the handshake.
                    Err(error) => match tls::failure(&error) {
                        failure @ Failure::HostTls { .. } => return Err(failure),
                        _ => client.closed(),
                    },
                    Ok(_) => client.receive(&chunk),
                }
            }
            HostStep::Write(bytes) => {
                // May hold a password; that the buffer is wiped is all this function knows of it.
                let bytes = Zeroizing::new(bytes);
                let write = async {
                    stream.write_all(&bytes).await?;
                    stream.flush().await
                };
                // A host that no longer listens may have said why: what it said is read next, or
                // its end of stream.
                let _ = timeout_at(deadline, write)
                    .await
                    .map_err(|_| late(client.state()))?;
            }
            HostStep::StartTls => {
                let Stream::Tcp(tcp) = stream else {
                    return Err(Failure::HostSetup {
                        cause: "STARTTLS on a connection that cannot be upgraded".into(),
                    });
                };
                let (settings, name) = upgrade.ok_or_else(|| Failure::HostSetup {
                    cause: "STARTTLS without settings of TLS".into(),
                })?;
                let shaken = timeout_at(deadline, settings.connect(name, tcp)).await;
                stream = Stream::HostTls(Box::new(shaken.map_err(|_| late("tls"))??));
                client.tls_started();
            }
            HostStep::Exchange(challenge) => {
                // Never more than half of what is left: whoever answers at the last moment does not
                // make the host late. Silence is the client's no, not the host's failure.
                let left = deadline.saturating_duration_since(Instant::now());
                let answer = timeout(ANSWER.min(left / 2), dialogue.exchange(challenge)).await;
                client.answer(answer.unwrap_or(Answer::Abort));
            }
            HostStep::Done(welcome) => {
                return Ok(Played {
                    stream,
                    welcome: *welcome,
                    until: deadline,
                });
            }
            HostStep::Failed(failure) => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::sleep;

    use super::super::{Answering, Nobody};
    use super::*;
    use crate::protocol::imap::client;
    use crate::protocol::sasl::{self, Mechanism, Message};
    use crate::protocol::{Credentials, HostLogin, Secret, StartTls, UserName};

    const SECOND: Duration = Duration::from_secs(1);

    fn alice() -> client::Client {
        client::Client::new(alice_login(), None)
    }

    fn alice_login() -> HostLogin {
        HostLogin {
            user: UserName::new(b"alice").unwrap(),
            credentials: Credentials::Password(Secret::new(b"hunter2").unwrap()),
            starttls: StartTls::No,
            seed: 1,
            origin: None,
            behind: Vec::new(),
        }
    }

    /// Plays against a scripted host; says how it ended and after how many seconds.
    async fn against<F: Future<Output = ()> + Send + 'static>(
        host: impl FnOnce(DuplexStream) -> F,
    ) -> (Result<Welcome, Failure>, u64) {
        let (ours, theirs) = duplex(1024);
        tokio::spawn(host(theirs));
        let begin = Instant::now();
        let patience = Patience {
            greeting: begin + 5 * SECOND,
            login: 30 * SECOND,
        };
        let played = play(
            Stream::Memory(ours),
            &mut alice(),
            patience,
            None,
            &mut Nobody,
        )
        .await;
        (played.map(|it| it.welcome), begin.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn one_round_trip_where_the_greeting_says_enough() {
        let (welcome, took) = against(async |mut host| {
            // Each flight of the host's takes a second to come.
            sleep(SECOND).await;
            let greeting = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n";
            host.write_all(greeting).await.unwrap();
            let mut line = vec![0; 1024];
            let n = host.read(&mut line).await.unwrap();
            assert!(line[..n].ends_with(b" AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=\r\n"));
            sleep(SECOND).await;
            let tag = line.split(|b| *b == b' ').next().unwrap();
            host.write_all(&[tag, b" OK in\r\n"].concat())
                .await
                .unwrap();
            sleep(SECOND).await;
        })
        .await;
        assert_eq!((welcome.unwrap().text.as_str(), took), ("in", 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_host_has_five_seconds() {
        let (played, took) = against(async |host| {
            sleep(100 * SECOND).await;
            drop(host);
        })
        .await;
        assert_eq!(played.unwrap_err(), Failure::TimedOut { state: "greeting" });
        assert_eq!(took, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_does_not_extend_a_deadline() {
        let (played, took) = against(async |mut host| {
            for octet in b"* OK a very slow greeting\r\n" {
                sleep(SECOND / 2).await;
                if host.write_all(&[*octet]).await.is_err() {
                    return;
                }
            }
        })
        .await;
        assert_eq!(played.unwrap_err(), Failure::TimedOut { state: "greeting" });
        assert_eq!(took, 5);

        let (played, took) = against(async |mut host| {
            host.write_all(b"* OK [CAPABILITY IMAP4rev1] hi\r\n")
                .await
                .unwrap();
            while host.write_all(b"* OK still working\r\n").await.is_ok() {
                sleep(SECOND).await;
            }
        })
        .await;
        assert_eq!(played.unwrap_err(), Failure::TimedOut { state: "login" });
        assert_eq!(took, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_read_is_left() {
        let (ours, theirs) = duplex(8);
        let hold = tokio::spawn(async move {
            let mut theirs = theirs;
            theirs.write_all(b"* OK hi\r\n").await.unwrap();
            sleep(100 * SECOND).await;
        });
        let patience = Patience {
            greeting: Instant::now() + 5 * SECOND,
            login: 30 * SECOND,
        };
        let played = play(
            Stream::Memory(ours),
            &mut alice(),
            patience,
            None,
            &mut Nobody,
        )
        .await;
        let failure = played.map(|_| ()).unwrap_err();
        assert_eq!(
            failure,
            Failure::TimedOut {
                state: "capability"
            }
        );
        hold.abort();
    }

    /// A mail client that thinks for so long before each answer.
    struct Thinks(Duration);

    impl Dialogue for Thinks {
        fn exchange(&mut self, _: Message) -> Answering<'_> {
            Box::pin(async {
                sleep(self.0).await;
                Message::from_base64(b"AQ==").map_or(Answer::Abort, Answer::Message)
            })
        }
    }

    /// A login by SCRAM where the host asks on; how it ended, after how many seconds, and how many
    /// answers the host heard.
    async fn exchanged(thinks: Duration, login: Duration) -> (Failure, u64, usize) {
        // `n,,n=alice,r=a`
        let first = b"biwsbj1hbGljZSxyPWE=";
        let turn = sasl::Server::new(Mechanism::ScramSha256).start(Some(first));
        let sasl::Turn::Login(shown) = turn else {
            panic!("no login")
        };
        let login_of = HostLogin {
            credentials: shown.credentials,
            ..alice_login()
        };
        let (ours, mut theirs) = duplex(1024);
        let host = tokio::spawn(async move {
            let greeting = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256] hi\r\n";
            theirs.write_all(greeting).await.unwrap();
            let mut heard = Vec::with_capacity(1024);
            while theirs.read_buf(&mut heard).await.is_ok_and(|n| n > 0) {
                let _ = theirs.write_all(b"+ cj1hYg==\r\n").await;
            }
            let heard = String::from_utf8(heard).unwrap();
            assert!(heard.ends_with("\r\n*\r\n"), "{heard}");
            heard.matches("AQ==\r\n").count()
        });
        let begin = Instant::now();
        let patience = Patience {
            greeting: begin + 5 * SECOND,
            login,
        };
        let mut client = client::Client::new(login_of, None);
        let stream = Stream::Memory(ours);
        let played = play(stream, &mut client, patience, None, &mut Thinks(thinks)).await;
        let failure = played.map(drop).unwrap_err();
        let took = begin.elapsed().as_secs();
        (failure, took, host.await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_thinks_too_long_has_given_up() {
        for (thinks, login, took, answers) in [
            (100, 30, 10, 0),
            // Each answer has its own time, and all of them less than the login's.
            (9, 24, 16, 1),
            // No host is late because its client was.
            (4, 6, 3, 0),
        ] {
            let came = exchanged(thinks * SECOND, login * SECOND).await;
            assert_eq!(came, (Failure::Aborted, took, answers), "{thinks} {login}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_host_said_before_it_closed_is_heard() {
        let (played, _) = against(async |mut host| {
            let last = b"* OK [CAPABILITY IMAP4rev1] hi\r\n* BYE too busy\r\n";
            host.write_all(last).await.unwrap();
        })
        .await;
        let cause = "it said goodbye: 8 octets".into();
        assert_eq!(played.unwrap_err(), Failure::Unreachable { cause });
    }
}
