//! `sizes: exact` and `learn`: octets as they are sent, found out once and kept from session to session.

use gatepost::protocol::pop3::config::{HideDeleted, Settings, Sizes};

use super::host::Host;
use super::polls::{STATUS, add, again, poll};
use super::{ONE, Play};

/// Measured before they are shown, each message once.
#[tokio::test(start_paused = true)]
async fn sizes_are_measured() {
    let exact = |cached| Play {
        settings: Settings {
            sizes: Sizes::Exact,
            ..Settings::default()
        },
        cached,
        ..Play::default()
    };
    let mails: Vec<Vec<u8>> = (0..50).map(|n| vec![b'\n'; n]).collect();
    let mails: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let mut host = Host::with(&mails);
    host.mail.get_mut(&7).expect("there").size = Some(1 << 40);
    let first = exact(None)
        .run(host, "LIST\r\nQUIT\r\n")
        .await
        .expect("opened");
    let want: String = (0..50).map(|n| format!("{} {}\n", n + 1, 2 * n)).collect();
    assert_eq!(
        first.text(),
        format!("+OK 50 messages (2450 octets)\n{want}.\n+OK bye\n")
    );
    let mut host = again(&first);
    add(&mut host, b"new\n");
    let second = exact(first.served.remainder)
        .run(host, "STAT\r\nQUIT\r\n")
        .await
        .expect("opened");
    assert_eq!(second.text(), "+OK 51 2455\n+OK bye\n");
    let fetched = second
        .host
        .log
        .iter()
        .filter(|command| command.contains("BODY.PEEK"));
    assert_eq!(fetched.count(), 1);
    let third = exact(second.served.remainder.clone())
        .run(again(&second), "STAT\r\nQUIT\r\n")
        .await
        .expect("opened");
    assert_eq!(
        (third.text(), third.host.log),
        (second.text(), vec![STATUS.into(), "LOGOUT".into()])
    );
    // A message that cannot be read does not keep the others away.
    let host = Host::with(&mails).rule("UID FETCH 3 (UID BODY", "$T NO x\r\n");
    let session = exact(None)
        .run(host, "STAT\r\nRETR 2\r\nQUIT\r\n")
        .await
        .expect("opened");
    assert_eq!(session.text(), "+OK 50 2448\n+OK 1 octets\n\n.\n+OK bye\n");
}

/// Where the whole list is asked for each time, with the host's own sizes in it.
#[tokio::test(start_paused = true)]
async fn sizes_are_known_beyond_a_whole_list() {
    for (sizes, first) in [
        (Sizes::Exact, "STAT\r\nQUIT\r\n"),
        (Sizes::Learn, "RETR 1\r\nQUIT\r\n"),
    ] {
        let with = |cached| Play {
            settings: Settings {
                sizes,
                hide_deleted: HideDeleted::Yes,
                ..Settings::default()
            },
            cached,
            ..Play::default()
        };
        // Bare line ends: sent with a CR each, which the host does not count.
        let host = Host::with(&[b"a\n", b"b\nc"]);
        let one = with(None).run(host, first).await.expect("opened");
        let two = with(one.served.remainder.clone());
        let two = two.run(again(&one), "LIST 1\r\nQUIT\r\n").await;
        let two = two.expect("opened");
        assert_eq!(two.text(), "+OK 1 3\n+OK bye\n", "{sizes:?}");
        let bodies = two.host.log.iter().filter(|it| it.contains("BODY"));
        assert_eq!(bodies.count(), 0, "{sizes:?}");
        // Another mailbox of the same name: nothing is known of it.
        let mut other = again(&two);
        other.uid_validity += 1;
        let three = with(two.served.remainder);
        let three = three.run(other, "LIST 1\r\nQUIT\r\n").await;
        let bodies = three.expect("opened").host.log.join("\n");
        assert_eq!(bodies.contains("BODY"), sizes == Sizes::Exact, "{sizes:?}");
    }
}

/// True sizes are shown from the next session on.
#[tokio::test(start_paused = true)]
async fn sizes_are_learned() {
    let lying = || {
        let mut host = Host::with(&[ONE, b"a\nb"]);
        host.mail.get_mut(&1).expect("there").size = Some(7);
        host
    };
    let commands = "LIST\r\nRETR 1\r\nRETR 2\r\nLIST 1\r\nSTAT\r\nQUIT\r\n";
    let first = poll(lying(), None, commands).await;
    assert!(
        first
            .text()
            .starts_with("+OK 2 messages (10 octets)\n1 7\n2 3\n")
    );
    assert!(first.text().ends_with("+OK 1 7\n+OK 2 10\n+OK bye\n"));
    let second = poll(
        again(&first),
        first.served.remainder.clone(),
        "LIST\r\nQUIT\r\n",
    )
    .await;
    assert!(
        second
            .text()
            .starts_with("+OK 2 messages (35 octets)\n1 29\n2 6\n")
    );
    assert_eq!(second.host.log, [STATUS, "LOGOUT"]);
    let trust = Play {
        settings: Settings {
            sizes: Sizes::Trust,
            ..Settings::default()
        },
        ..Play::default()
    };
    let first = trust.run(lying(), commands).await.expect("opened");
    let second = poll(
        again(&first),
        first.served.remainder.clone(),
        "STAT\r\nQUIT\r\n",
    )
    .await;
    assert!(second.text().starts_with("+OK 2 10\n"));
}
