//! Odd passwords, bursts, and hosts that say too much or nonsense.

use super::*;

#[test]
fn odd_passwords() {
    play(
        "H: +OK
         G: CAPA
         H: -ERR
         G: USER alice
         H: +OK
         G: PASS  pä \"ss\\wörd
         H: +OK
         = done \"\" rest \"\" NotSent",
        login(StartTls::No, " pä \"ss\\wörd".as_bytes()),
        Cut::Lines,
    );
    // A command with an initial response may have 255 octets: this is the longest that fits, and
    // the shortest that does not.
    let hello = "H: +OK\nG: CAPA\nH: +OK\nH: SASL PLAIN\nH: .\n";
    for (length, initial) in [(173, true), (174, false)] {
        let mut client = Client::new(login(StartTls::No, &vec![b'x'; length]), None);
        for line in hello.lines().filter_map(|line| line.strip_prefix("H: ")) {
            client.receive(format!("{line}\r\n").as_bytes());
            while let HostStep::Write(_) = client.step() {}
            if line == "SASL PLAIN" {
                client.receive(b".\r\n");
                break;
            }
        }
        let HostStep::Write(written) = client.step() else {
            panic!("no AUTH");
        };
        match initial {
            true => assert!(written.len() <= 255 && written.starts_with(b"AUTH PLAIN A")),
            false => {
                assert_eq!(written, b"AUTH PLAIN\r\n");
                client.receive(b"+ \r\n");
                assert!(matches!(client.step(), HostStep::Write(w) if w.starts_with(b"AGFsaWNlA")));
            }
        }
    }
}

#[test]
fn a_burst_behind_the_login() {
    let mut burst = login(StartTls::No, b"s3cret");
    burst.behind = b"STAT\r\n".to_vec();
    let asked = "H: +OK
         G: CAPA
         H: +OK
         H: SASL PLAIN
         H: PIPELINING
         H: .
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
         G: STAT";
    for answered in [
        "H: +OK in
         H+ +OK 3 900
         = done \"in\" rest \"+OK 3 900\\r\\n\" Sent",
        // The command behind was read as the answer to a challenge: nothing more may be sent.
        "H: +
         = HostProtocol { expected: \"an answer to AUTH\", got: \"1 octets\" }",
    ] {
        play(&format!("{asked}\n{answered}"), burst.clone(), Cut::Lines);
    }
    play(
        "H: +OK
         G: CAPA
         H: -ERR
         G: USER alice
         H: +OK
         G: PASS s3cret
         H: +OK in
         = done \"in\" rest \"\" NotSent",
        burst,
        Cut::Octets,
    );
}

#[test]
fn hostile_hosts_meet_limits() {
    for (octets, expected) in [
        (
            vec![b'x'; LONGEST_LINE + 1],
            "a line of at most 4096 octets",
        ),
        (b"+OK\r\n".to_vec(), ""),
    ] {
        let mut client = Client::new(login(StartTls::No, b"s3cret"), None);
        client.receive(&octets);
        match client.step() {
            HostStep::Failed(Failure::HostProtocol { expected: got, .. }) => {
                assert_eq!(got, expected);
            }
            HostStep::Write(_) => {
                client.receive(b"+OK\r\n");
                for _ in 0..MOST_CAPABILITIES {
                    assert!(matches!(client.step(), HostStep::Read));
                    client.receive(b"X-ENDLESS\r\n");
                }
                assert!(matches!(client.step(), HostStep::Read));
                client.receive(b"X-ENDLESS\r\n");
                let end = shown_end(client.step());
                assert!(end.contains("the end of the capabilities"), "{end}");
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest::proptest! {
    #[test]
    fn damaged_answers_do_no_harm(
        octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        place in 0usize..90,
    ) {
        let whole = b"+OK [XCLIENT]\r\n+OK\r\n+OK\r\nSASL PLAIN\r\n.\r\n+OK\r\n";
        let at = place.min(whole.len());
        let mut client = Client::new(login(StartTls::No, b"s3cret"), None);
        for part in [&whole[..at], &octets, &whole[at..]] {
            for octet in part {
                client.receive(&[*octet]);
                while let HostStep::Write(_) = client.step() {}
            }
        }
        client.closed();
        client.step();
    }
}
