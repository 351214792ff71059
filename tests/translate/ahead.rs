//! Downloads: messages that are on their way before they are asked for.

use std::future::pending;
use std::time::Duration;

use gatepost::protocol::Welcome;
use gatepost::protocol::pop3::config::Settings;
use gatepost::session::translate::{First, Terms, open, prepare, serve};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex};
use tokio::time::Instant;

use super::host::Host;
use super::{Later, Play, play};

/// Sequential and pipelined downloads have their next messages on the way.
#[tokio::test(start_paused = true)]
async fn reading_ahead() {
    let mails: Vec<Vec<u8>> = (0..40)
        .map(|n| format!("mail {n}\r\n").into_bytes())
        .collect();
    let mails: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let want: String = (0..40)
        .map(|n| format!("+OK {} octets\nmail {n}\n.\n", 7 + n.to_string().len()))
        .collect();
    let commands: String = (1..=40).map(|n| format!("RETR {n}\r\n")).collect();
    for prefetch in [0, 50, 4 << 20] {
        for (cut, tags_wait) in [(0, 0), (8, 0), (9, 0), (0, 4), (8, 4)] {
            let play = Play {
                settings: Settings {
                    prefetch,
                    ..Settings::default()
                },
                cut,
                ..Play::default()
            };
            let host = Host {
                tags_wait,
                ..Host::with(&mails)
            };
            let session = play.run(host, &commands).await.expect("opened");
            assert_eq!(session.text(), want, "prefetch {prefetch}, cut {cut}");
            let fetches = session
                .host
                .log
                .iter()
                .filter(|command| command.contains("BODY.PEEK"));
            let asked = fetches.count();
            assert_eq!(
                asked, 40,
                "prefetch {prefetch}, cut {cut}, tags {tags_wait}"
            );
        }
    }
    // Where the sizes that a host tells are not those of its mail, each answer's end is waited for.
    for prefetch in [0, 50, 4 << 20] {
        let mut host = Host {
            tags_wait: 4,
            ..Host::with(&mails)
        };
        for mail in host.mail.values_mut() {
            mail.size = Some(30);
        }
        let play = Play {
            settings: Settings {
                prefetch,
                ..Settings::default()
            },
            ..Play::default()
        };
        let text = play.run(host, &commands).await.expect("opened").text();
        let bodies: String = (0..40).map(|n| format!("mail {n}\n.\n")).collect();
        let lines = text.split_inclusive('\n');
        let said: String = lines.filter(|it| !it.starts_with("+OK")).collect();
        assert_eq!(said, bodies, "{prefetch}");
    }
    // What was foreseen wrongly is drained, not delivered.
    let mut commands = String::new();
    let mut want = String::new();
    for n in [1, 2, 3, 9, 4, 5, 6, 20, 21, 22, 2, 3, 40, 1] {
        commands.push_str(&format!("RETR {n}\r\nNOOP\r\n"));
        let octets = format!("mail {}\n", n - 1);
        want.push_str(&format!(
            "+OK {} octets\n{octets}.\n+OK\n",
            octets.len() + 1
        ));
    }
    commands.push_str("DELE 39\r\nQUIT\r\n");
    want.push_str("+OK message deleted\n+OK bye, deleted messages removed\n");
    for cut in [0, 1, 8, 14] {
        for host_cut in [0, 1, 33] {
            let mut host = Host::with(&mails);
            host.cut = host_cut;
            let play = Play {
                cut,
                ..Play::default()
            };
            let session = play.run(host, &commands).await.expect("opened");
            assert_eq!(session.text(), want, "cut {cut}, {host_cut}");
            assert_eq!(session.host.mail.len(), 39);
        }
    }
}

/// Something is wrong with a message that was asked for ahead.
#[tokio::test(start_paused = true)]
async fn trouble_ahead() {
    const MAILS: &[&[u8]] = &[b"1\r\n", b"2\r\n", b"3\r\n", b"4\r\n", b"5\r\n"];
    let commands = "RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\nRETR 5\r\nQUIT\r\n";
    let got = |n: u32| format!("+OK 3 octets\n{n}\n.\n");
    let gone = "-ERR message expunged\n";
    let wait = "-ERR [SYS/TEMP] the message cannot be read now, try again later (S1)\n";
    for (answer, probe, third) in [
        ("$T OK\r\n", "$T OK\r\n", gone),
        ("$T OK\r\n", "$MODEL", wait),
        (
            "* 3 FETCH (UID 3 BODY[] NIL)\r\n$T OK\r\n",
            "$T OK\r\n",
            gone,
        ),
        ("* 3 FETCH (UID 3)\r\n$T OK\r\n", "$T OK\r\n", wait),
        ("$T NO x\r\n", "$T OK\r\n", gone),
        // The answer comes behind the next one's.
        ("", "$T OK\r\n", "silent"),
        (
            "* 3 FETCH (UID 3 BODY[] \"3\")\r\n$T OK\r\n",
            "",
            "+OK 1 octets\n3\n.\n",
        ),
    ] {
        let host = Host::with(MAILS)
            .rule("UID FETCH 3 (UID BODY", answer)
            .rule("UID FETCH 3 (UID)", probe);
        let text = play(host, commands).await.text();
        let (one, two, four, five) = (got(1), got(2), got(4), got(5));
        let third = match third {
            // Never answered: given up with the connection, and so are the others.
            "silent" => {
                assert!(
                    text.starts_with(&format!("{one}{two}-ERR [SYS/TEMP] ")),
                    "{text}"
                );
                continue;
            }
            third => third,
        };
        assert_eq!(
            text,
            format!("{one}{two}{third}{four}{five}+OK bye\n"),
            "{answer}"
        );
    }
    // Answers in another order than asked, tags later than rows.
    let host = Host::with(MAILS)
        .rule("UID FETCH 2 (UID BODY", "")
        .rule(
            "UID FETCH 3 (UID BODY",
            "$MODEL* 2 FETCH (UID 2 BODY[] {3}\r\n2\r\n)\r\n$U OK late\r\n",
        )
        .rule("UID FETCH 3 (UID BODY", "$MODEL");
    let text = play(host, commands).await.text();
    let all: String = (1..=5).map(got).collect();
    assert_eq!(text, format!("{all}+OK bye\n"));
}

/// Asks one command after the other, each when the answer to the last one is complete; how long it
/// took.
async fn in_turn(host: Host, commands: impl IntoIterator<Item = String>) -> Duration {
    let (to_host, hosts_end) = duplex(1 << 20);
    tokio::spawn(host.serve(hosts_end));
    let settings = Settings::default();
    let opening = prepare(&settings, 7, None);
    let opened = open(
        to_host,
        &mut Welcome::default(),
        opening,
        Duration::from_secs(9),
    )
    .await
    .expect("opened");
    let (client, mut clients_end) = duplex(1 << 20);
    let session = tokio::spawn(async move {
        let terms = Terms {
            settings: &Settings::default(),
            session: "S1".into(),
            idle: Duration::from_secs(600),
            traffic: &Default::default(),
        };
        let first = First::default();
        serve(
            &mut clients_end,
            first,
            opened,
            terms,
            Later::default(),
            |_| pending(),
        )
        .await
    });
    let mut client = BufReader::new(client);
    let start = Instant::now();
    for command in commands {
        client
            .write_all(format!("{command}\r\n").as_bytes())
            .await
            .expect("writes");
        let multi = command.starts_with("RETR") || command.starts_with("TOP");
        let mut line = String::new();
        client.read_line(&mut line).await.expect("a line");
        assert!(line.starts_with("+OK"), "{line}");
        while multi && line != ".\r\n" {
            line.clear();
            client.read_line(&mut line).await.expect("a line");
        }
    }
    let took = start.elapsed();
    drop(client);
    session.await.expect("ended");
    took
}

/// Virtual time: a round trip to the host is 20 ms, everything else takes none.
#[tokio::test(start_paused = true)]
async fn a_download_takes_few_round_trips() {
    let mails: Vec<Vec<u8>> = (0..100).map(|n| vec![b'a'; 1000 + n]).collect();
    let mails: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let host = || {
        let mut host = Host::with(&mails);
        host.delay = Duration::from_millis(20);
        host
    };
    let retr = (1..=100).map(|n| format!("RETR {n}"));
    let took = in_turn(host(), retr).await;
    assert!(took <= Duration::from_millis(100), "RETR: {took:?}");
    let both = (1..=100).flat_map(|n| [format!("RETR {n}"), format!("DELE {n}")]);
    let took = in_turn(host(), both).await;
    assert!(took <= Duration::from_millis(100), "RETR, DELE: {took:?}");
    let top = (1..=100).map(|n| format!("TOP {n} 0"));
    let took = in_turn(host(), top).await;
    assert!(took <= Duration::from_millis(100), "TOP: {took:?}");
}
