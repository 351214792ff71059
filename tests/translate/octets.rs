//! Octets: exact whatever the edges of reads and writes, streamed and never held.

use std::future::pending;
use std::time::Duration;

use gatepost::protocol::pop3::config::Settings;
use gatepost::protocol::{Behind, Welcome};
use gatepost::session::translate::{First, Never, Terms, open, prepare, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::host::Host;
use super::{ONE, Play, TWO, play};

/// What RETR of a message must be: lines ended by CRLF, dots doubled.
fn response(message: &[u8]) -> Vec<u8> {
    let mut out = format!("+OK {} octets\r\n", message.len()).into_bytes();
    let mut lines: Vec<&[u8]> = message.split(|&b| b == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let last = lines.len();
    for (n, line) in lines.into_iter().enumerate() {
        let ended = n + 1 < last || message.ends_with(b"\n");
        let line = line.strip_suffix(b"\r").filter(|_| ended).unwrap_or(line);
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

fn messages() -> Vec<Vec<u8>> {
    let mut all = vec![
        b".leading\r\n..two\r\n.\r\n\r\n.x".to_vec(),
        b".".to_vec(),
        b".\r\n".to_vec(),
        b"no final newline".to_vec(),
        b"Subject: header only\r\n".to_vec(),
        b"bare\nline\n.feeds\n.\n".to_vec(),
        b"8 bit \xff\xfe\x80 and \0 NUL and bare \r CR\r\n".to_vec(),
        b"\r\n".to_vec(),
    ];
    let mut long = b"Subject: 70 KB lines\r\n\r\n".to_vec();
    for _ in 0..3 {
        long.push(b'.');
        long.extend(std::iter::repeat_n(b'x', 70_000));
        long.extend_from_slice(b"\r\n");
    }
    all.push(long);
    let mut big = b"Subject: big\r\n\r\n".to_vec();
    let mut n = 0u32;
    while big.len() < 1_500_000 {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let line = match n >> 29 {
            0 => ".".to_owned(),
            1 => format!(".{n}"),
            _ => format!("{n:x} ").repeat((n >> 26) as usize),
        };
        big.extend_from_slice(line.as_bytes());
        big.extend_from_slice(b"\r\n");
    }
    all.push(big);
    all
}

#[tokio::test(start_paused = true)]
async fn every_octet_of_every_message() {
    let messages = messages();
    let mails: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let commands: String = (1..=mails.len()).map(|n| format!("RETR {n}\r\n")).collect();
    let want: Vec<u8> = messages.iter().flat_map(|mail| response(mail)).collect();
    for cut in [0, 4096, 1013] {
        let mut host = Host::with(&mails);
        host.cut = cut;
        let session = play(host, &commands).await;
        assert_eq!(session.read.len(), want.len(), "cut {cut}");
        assert!(session.read == want, "cut {cut}");
        assert_eq!(session.served.counts.retrieved, mails.len() as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn any_cut_gives_the_same_conversation() {
    let commands = "CAPA\r\nSTAT\r\nLIST\r\nRETR 1\r\nTOP 2 1\r\nRETR 9\r\nuidl\nXYZ\r\nRETR 2\r\n\
                    DELE 2\r\nRSET\r\nDELE 1\r\nRETR 2\r\nNOOP\r\nQUIT\r\nSTAT\r\n";
    let whole = play(Host::with(&[ONE, TWO, b".\n"]), commands).await;
    assert_eq!(whole.host.uids(), [2, 3]);
    for client in 1..12 {
        for cut in [1, 2, 3, 5, 7, 11, 0] {
            let mut host = Host::with(&[ONE, TWO, b".\n"]);
            host.cut = cut;
            let play = Play {
                cut: client,
                ..Play::default()
            };
            let session = play.run(host, commands).await.expect("opened");
            assert_eq!(session.text(), whole.text(), "client {client}, host {cut}");
            assert_eq!(session.host.uids(), [2, 3]);
        }
    }
}

/// The first octet reaches the client while the host still has the rest; a client that reads
/// nothing stops the host; what is held between them is bounded.
#[tokio::test(start_paused = true)]
async fn a_body_streams_and_is_never_held() {
    let (to_host, mut hosts_end) = duplex(16 * 1024);
    let opening = prepare(&Settings::default(), 1, None);
    let commands = opening.behind().to_vec();
    let tags: Vec<String> = String::from_utf8(commands)
        .unwrap()
        .lines()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    let octets = 100_000_000;
    let mut welcome = Welcome {
        behind: Behind::Sent,
        rest: format!(
            "* 1 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 2] x\r\n{} OK x\r\n\
             * 1 FETCH (UID 1 RFC822.SIZE {octets})\r\n{} OK x\r\n",
            tags[0], tags[1]
        )
        .into_bytes(),
        ..Welcome::default()
    };
    let opened = open(to_host, &mut welcome, opening, Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(opened.size(), (1, octets));
    let (mut client, mut clients_end) = duplex(16 * 1024);
    let session = tokio::spawn(async move {
        serve(
            &mut clients_end,
            First {
                to_client: b"+OK logged in\r\n".to_vec(),
                from_client: b"RETR 1\r\n".to_vec(),
            },
            opened,
            Terms {
                settings: &Settings::default(),
                session: "S1".into(),
                idle: Duration::from_secs(600),
                traffic: &Default::default(),
            },
            Never,
            |_| pending(),
        )
        .await
    });
    let mut command = vec![0; 100];
    let read = hosts_end.read(&mut command).await.unwrap();
    assert!(command[..read].ends_with(b"UID FETCH 1 (UID BODY.PEEK[])\r\n"));
    let start = format!("* 1 FETCH (UID 1 BODY[] {{{octets}}}\r\na");
    hosts_end.write_all(start.as_bytes()).await.unwrap();
    let mut first = vec![0; 38];
    client.read_exact(&mut first).await.unwrap();
    assert_eq!(first, b"+OK logged in\r\n+OK 100000000 octets\r\na");
    // Nobody reads: how much will the gateway take?
    let chunk = vec![b'.'; 10_000];
    let mut taken = 0;
    while let Ok(written) =
        tokio::time::timeout(Duration::from_secs(5), hosts_end.write(&chunk)).await
    {
        taken += written.unwrap();
        assert!(taken < 250_000, "the gateway holds a message");
    }
    assert!(taken > 10_000);
    // It goes on where it stopped; then the host dies.
    let reader = tokio::spawn(async move {
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        read
    });
    hosts_end.write_all(&chunk).await.unwrap();
    drop(hosts_end);
    let read = reader.await.unwrap();
    assert_eq!(read.len(), taken + chunk.len());
    assert!(!read.ends_with(b".\r\n"));
    assert_eq!(session.await.unwrap().ended.reason, "message cut short");
}

/// Listings of a large maildrop are made as the client reads.
#[tokio::test(start_paused = true)]
async fn listings_of_a_large_maildrop() {
    let count = 50_000;
    let rows: String = (1..=count)
        .map(|n| format!("* {n} FETCH (UID {n} RFC822.SIZE {})\r\n", n % 1000))
        .collect();
    let select = format!(
        "* {count} EXISTS\r\n* OK [UIDVALIDITY 9] x\r\n* OK [UIDNEXT {}] x\r\n$T OK x\r\n",
        count + 1
    );
    let host = Host::with(&[])
        .rule("SELECT", &select)
        .rule("UID FETCH 1:*", &format!("{rows}$T OK x\r\n"));
    let session = play(host, "STAT\r\nLIST\r\nUIDL\r\nSTAT\r\nQUIT\r\n").await;
    let text = session.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + (count + 2) * 2 + 2);
    assert_eq!(lines[0], lines[lines.len() - 2]);
    assert_eq!(lines[count + 1], format!("{count} {}", count % 1000));
    assert_eq!(
        lines[count + 3 + count],
        format!("{count} 0000c35000000009")
    );
}

/// Whatever a host sends, a session ends, and nothing but what was marked is removed.
#[tokio::test(start_paused = true)]
async fn damaged_answers_are_borne() {
    let mut settings = Settings::default();
    let mut opened = 0;
    for damage in 1..600u64 {
        let mut host = Host::with(&[ONE, TWO, b"three\r\n", b"four\r\n"]);
        host.uid_plus = damage % 3 > 0;
        host.damage = damage.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        settings.prefetch = if damage % 2 == 0 { 0 } else { 1 << 20 };
        let play = Play {
            settings: settings.clone(),
            knows_capabilities: damage % 5 > 0,
            ..Play::default()
        };
        let commands =
            "STAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\nTOP 4 0\r\nDELE 2\r\nQUIT\r\n";
        let Ok(session) = play.run(host, commands).await else {
            continue;
        };
        opened += 1;
        assert!(session.host.mail.len() >= 3, "{damage}: {}", session.text());
    }
    assert!(opened > 50, "{opened}");
}
