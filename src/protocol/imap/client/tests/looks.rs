//! A look at a host: what it can do, without a login.

use super::*;

/// What a look hears, line by line, and what it says; its end is `Done` or a failure.
#[test]
fn a_look_sends_no_credentials() {
    for (host, said, want) in [
        (
            &["* OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2] hi"][..],
            "",
            Ok("XOAUTH2"),
        ),
        (
            &[
                "* OK hi",
                "* CAPABILITY IMAP4rev1 AUTH=PLAIN",
                "<1> OK done",
            ],
            "<1> CAPABILITY\r\n",
            Ok("PLAIN"),
        ),
        (&["* OK hi", "<1> BAD what"], "<1> CAPABILITY\r\n", Ok("")),
        (&["* BYE full"], "", Err("Unreachable")),
        (&["* PREAUTH root"], "", Err("HostProtocol")),
    ] {
        let mut client = Client::look(StartTls::No, SEED, None);
        let mut script = host.iter();
        let mut wrote = String::new();
        let end = loop {
            match client.step() {
                HostStep::Read => match script.next() {
                    Some(line) => client.receive(tagged(&format!("{line}\r\n")).as_bytes()),
                    None => client.closed(),
                },
                HostStep::Write(bytes) => wrote += std::str::from_utf8(&bytes).unwrap(),
                HostStep::Done(_) => break Ok(()),
                HostStep::Failed(failure) => break Err(format!("{failure:?}")),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wrote, tagged(said));
        assert!(!client.credentials_sent());
        match want {
            Err(failure) => assert!(end.unwrap_err().starts_with(failure)),
            Ok(names) => {
                let can = client.learned().unwrap().mechanisms().unwrap();
                let can: Vec<&str> = can.iter().map(sasl::Mechanism::name).collect();
                assert_eq!((end, can.join(" ").as_str()), (Ok(()), names));
            }
        }
    }
}

/// It asks anew what a login remembered, and keeps what only a login can know.
#[test]
fn a_look_refreshes_what_is_remembered() {
    let remembered = Profile {
        greeting: b"* OK hi".to_vec(),
        before: None,
        belief: capability::Belief::Doubtful,
        untrue: vec![capability::Extension::Literals],
        after: Some(capability::Capabilities::parse(b"IDLE")),
        pipelining: Pipelining::Lost,
    };
    let mut client = Client::look(StartTls::No, SEED, Some(remembered.clone()));
    client.receive(b"* OK hi\r\n");
    assert!(matches!(client.step(), HostStep::Write(_)));
    client.receive(tagged("* CAPABILITY AUTH=PLAIN\r\n<1> OK\r\n").as_bytes());
    assert!(matches!(client.step(), HostStep::Done(_)));
    let learned = client.learned().unwrap();
    assert_eq!(
        (learned.after, learned.pipelining, learned.untrue),
        (remembered.after, Pipelining::Avoided, remembered.untrue)
    );
    assert_eq!(learned.belief, capability::Belief::Sure);
    assert!(learned.before.is_some());
}
