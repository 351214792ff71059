//! What a session waits for before it ends, and who may end it.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use gatepost::protocol::pop3::config::Settings;
use gatepost::protocol::{Farewell, Welcome};
use gatepost::session::translate::{
    Again, Connecting, First, Never, Served, Terms, open, prepare, serve,
};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};

use super::host::Host;
use super::{ONE, TWO};

const IDLE: Duration = Duration::from_secs(600);

const AT_ONCE: Duration = Duration::ZERO;

/// A stream that takes octets at once and flushes slowly, as TLS does over a slow network.
struct SlowFlush {
    inner: DuplexStream,
    takes: Duration,
    due: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for SlowFlush {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, room)
    }
}

impl AsyncWrite for SlowFlush {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, octets));
        self.due = Some(Box::pin(sleep(self.takes)));
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(due) = &mut self.due {
            ready!(due.as_mut().poll(cx));
        }
        self.due = None;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Serves `client` from `host`, until the session ends or is asked to.
async fn served(
    client: impl AsyncRead + AsyncWrite + Unpin,
    host: Host,
    asked: watch::Receiver<Option<Farewell>>,
) -> (Served, Host) {
    served_with(client, host, Never, asked).await
}

/// The same, with other connections to the host.
async fn served_with(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    host: Host,
    again: impl Again<DuplexStream>,
    asked: watch::Receiver<Option<Farewell>>,
) -> (Served, Host) {
    let (to_host, hosts_end) = duplex(64 * 1024);
    let settings = Settings::default();
    let mut welcome = Welcome {
        capabilities: Some(host.capabilities()),
        ..Welcome::default()
    };
    let host = tokio::spawn(host.serve(hosts_end));
    let opening = prepare(&settings, 7, None);
    let opened = open(to_host, &mut welcome, opening, Duration::from_secs(45))
        .await
        .unwrap();
    let terms = Terms {
        settings: &settings,
        session: "S1".into(),
        idle: IDLE,
        traffic: &Default::default(),
    };
    let stop = |heard| {
        let mut asked = asked.clone();
        async move {
            let news = |asked: &Option<Farewell>| asked.is_some() && *asked != heard;
            asked.wait_for(news).await.unwrap().unwrap()
        }
    };
    let served = serve(&mut client, First::default(), opened, terms, again, stop).await;
    (served, host.await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn quit_behind_retr_goes_on_when_the_message_has_left() {
    for takes in [1, 100, 2_000, 60_000].map(Duration::from_millis) {
        let (mut client, inner) = duplex(64 * 1024);
        let near = SlowFlush {
            inner,
            takes,
            due: None,
        };
        let (_ask, asked) = watch::channel(None);
        let session = tokio::spawn(served(near, Host::with(&[ONE, TWO]), asked));
        let start = Instant::now();
        client
            .write_all(b"RETR 1\r\nDELE 1\r\nQUIT\r\n")
            .await
            .unwrap();
        let mut read = String::new();
        client.read_to_string(&mut read).await.unwrap();
        assert!(
            read.ends_with("+OK bye, deleted messages removed\r\n"),
            "{read}"
        );
        // Two writes, each with its flush.
        assert!(
            start.elapsed() < 2 * takes + Duration::from_millis(50),
            "{takes:?}"
        );
        let (served, host) = session.await.unwrap();
        assert_eq!(served.ended.reason, "quit");
        assert_eq!(host.uids(), [2]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_drains_is_kicked_all_the_same() {
    let (mut client, near) = duplex(64 * 1024);
    let (ask, asked) = watch::channel(None);
    let session = tokio::spawn(served(near, Host::with(&[ONE]), asked));
    // A silent client hears nothing of a drain: POP3 has no goodbye that nobody asked for. Nor does time stand
    // still for a session that had given its buffers back: it waits.
    sleep(Duration::from_secs(5)).await;
    ask.send(Some(Farewell::Shutdown)).unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!(!session.is_finished());
    ask.send(Some(Farewell::Kicked)).unwrap();
    let start = Instant::now();
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"");
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(session.await.unwrap().0.ended.reason, "kicked");
}

#[tokio::test(start_paused = true)]
async fn a_kick_lets_the_answer_under_way_out_and_no_more() {
    let mut host = Host::with(&[ONE]);
    host.delay = Duration::from_secs(5);
    let (mut client, near) = duplex(64 * 1024);
    let (ask, asked) = watch::channel(None);
    let session = tokio::spawn(served(near, host, asked));
    client.write_all(b"RETR 1\r\n").await.unwrap();
    sleep(Duration::from_secs(12)).await;
    ask.send(Some(Farewell::Kicked)).unwrap();
    let start = Instant::now();
    let mut read = String::new();
    client.read_to_string(&mut read).await.unwrap();
    assert!(
        read.starts_with("+OK 29 octets\r\n") && read.ends_with("\r\n.\r\n"),
        "{read}"
    );
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(session.await.unwrap().0.ended.reason, "kicked");
}

/// A host that cannot be reached any more: whoever tries hears nothing.
struct Unheard;

impl Again<DuplexStream> for Unheard {
    fn again(&mut self, _behind: Vec<u8>) -> Connecting<'_, DuplexStream> {
        Box::pin(pending())
    }
}

/// Half a minute, whatever the client or the host does.
#[tokio::test(start_paused = true)]
async fn who_is_told_to_go_is_gone_in_half_a_minute() {
    let large = vec![b'x'; 1 << 20];
    let plain = || Host::with(&[&large, TWO]);
    let lost = || plain().rule("UID FETCH 1 (UID BODY", "$CLOSE");
    for (name, host) in [
        ("a client that drips", plain()),
        ("a host that is away", lost()),
    ] {
        let (mut client, near) = duplex(1024);
        let (ask, asked) = watch::channel(None);
        let session = tokio::spawn(served_with(near, host, Unheard, asked));
        client.write_all(b"RETR 1\r\n").await.unwrap();
        sleep(Duration::from_secs(5)).await;
        ask.send(Some(Farewell::Shutdown)).unwrap();
        sleep(Duration::from_secs(1)).await;
        ask.send(Some(Farewell::Kicked)).unwrap();
        let start = Instant::now();
        while !session.is_finished() && start.elapsed() < Duration::from_secs(120) {
            let mut octet = [0];
            let read = client.read(&mut octet);
            let _ = tokio::time::timeout(Duration::from_secs(1), read).await;
            sleep(Duration::from_secs(1)).await;
        }
        assert!(
            start.elapsed() <= Duration::from_secs(32),
            "{name}: {:?}",
            start.elapsed()
        );
        assert_eq!(session.await.unwrap().0.ended.reason, "kicked", "{name}");
    }
}

/// But for QUIT: what it removes is removed, whoever reads the answer.
#[tokio::test(start_paused = true)]
async fn who_is_told_to_go_in_quit_finishes_it() {
    for (reads, ended) in [(64 * 1024, "quit"), (16, "kicked")] {
        let mut host = Host::with(&[ONE, TWO]);
        host.delay = Duration::from_secs(40);
        let (mut client, near) = duplex(reads);
        let (ask, asked) = watch::channel(None);
        let session = tokio::spawn(served(near, host, asked));
        client.write_all(b"DELE 1\r\nQUIT\r\n").await.unwrap();
        // The mailbox is open after 40 s.
        sleep(Duration::from_secs(50)).await;
        let mut first = [0; 16];
        client.read_exact(&mut first).await.unwrap();
        ask.send(Some(Farewell::Kicked)).unwrap();
        let start = Instant::now();
        let (served, host) = session.await.unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(served.ended.reason, ended);
        assert_eq!((served.counts.deleted, host.uids()), (1, vec![2]));
    }
}

/// How long a session outlives a client that says `commands` and ends its half a while later, and what the
/// client read.
async fn after_the_client(
    commands: &str,
    later: Duration,
    host: Host,
) -> (Duration, String, Served) {
    let (mut client, near) = duplex(64 * 1024);
    let (_ask, asked) = watch::channel(None);
    let session = tokio::spawn(served(near, host, asked));
    client.write_all(commands.as_bytes()).await.unwrap();
    sleep(later).await;
    client.shutdown().await.unwrap();
    let start = Instant::now();
    let mut read = String::new();
    client.read_to_string(&mut read).await.unwrap();
    let (served, _) = session.await.unwrap();
    (start.elapsed(), read, served)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_is_not_kept_for_a_silent_host() {
    let half = "* 1 FETCH (UID 1 BODY[] {29}\r\nhalf of it";
    for (commands, command, answer, ended) in [
        (
            "RETR 1\r\n",
            "UID FETCH 1 (UID BODY",
            half,
            "message cut short",
        ),
        ("RETR 1\r\n", "UID FETCH 1 (UID BODY", "", "closed"),
        (
            "TOP 1 0\r\nRETR 2\r\n",
            "UID FETCH 2 (UID BODY",
            "",
            "closed",
        ),
        ("RETR 1\r\n", "UID STORE", "", "closed"),
        ("STAT\r\n", "LOGOUT", "", "closed"),
    ] {
        let host = Host::with(&[ONE, TWO]).rule(command, answer);
        let (took, read, served) = after_the_client(commands, AT_ONCE, host).await;
        assert!(
            took < Duration::from_secs(6),
            "{commands:?}, {command}: {took:?}, {read}"
        );
        assert_eq!(served.ended.reason, ended, "{commands:?}, {command}");
    }
}

/// The end of its half does not count against the host's silence before it.
#[tokio::test(start_paused = true)]
async fn who_ends_its_half_while_the_host_is_slow_is_waited_for_from_then_on() {
    let mut host = Host::with(&[ONE]);
    host.delay = Duration::from_secs(9);
    // The mailbox is open after 9 s, the message asked for then.
    let later = Duration::from_secs(16);
    let (_, read, served) = after_the_client("RETR 1\r\n", later, host).await;
    assert!(read.ends_with("\r\n.\r\n"), "{read}");
    assert_eq!(served.ended.reason, "closed");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ended_its_half_still_gets_what_it_asked_for() {
    let mut host = Host::with(&[ONE, TWO]);
    host.delay = Duration::from_secs(4);
    let (_, read, _) = after_the_client("RETR 1\r\nRETR 2\r\n", AT_ONCE, host.clone()).await;
    assert_eq!(read.matches("\r\n.\r\n").count(), 2, "{read}");
    // What QUIT removes is removed however long it takes.
    host.delay = Duration::from_secs(40);
    let (_, read, served) = after_the_client("RETR 1\r\nDELE 1\r\nQUIT\r\n", AT_ONCE, host).await;
    assert!(
        read.ends_with("+OK bye, deleted messages removed\r\n"),
        "{read}"
    );
    assert_eq!(served.ended.reason, "quit");
}
