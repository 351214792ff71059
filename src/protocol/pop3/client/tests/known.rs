//! What is known of a host from the time before, or from a look at it.

use super::*;

/// The capabilities' turn is saved on the second login; a timestamp in the greeting changes nothing.
#[test]
fn what_was_learned_is_not_asked_again() {
    let first = "H: +OK ready <1.2@h>
         G: CAPA
         H: +OK
         H: SASL PLAIN
         H: .
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
         H: +OK
         = done \"\" rest \"\" NotSent";
    let again = "H: +OK ready <3.4@h>
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
         H: -ERR unknown
         = Refused { code: AuthenticationFailed, alert: None }";
    let coded = again.replace("unknown", "[AUTH] no");
    let asked = "H: +OK ready <5.6@h>
         G: CAPA
         EOF
         = Unreachable { cause: \"connection closed in state=capability\" }";
    let other = asked.replace("ready", "another");
    let play = |script: &str, remembered: &Option<Profile>| {
        let with = login(StartTls::No, b"s3cret");
        play_again(script, with, remembered.clone(), Cut::Lines)
    };
    let learned = play(first, &None);
    assert!(
        learned
            .as_ref()
            .unwrap()
            .mechanisms()
            .unwrap()
            .has(Mechanism::Plain)
    );
    let still = play(&coded, &learned);
    let explains = Explains::Heard;
    let heard = learned.clone().map(|it| Profile { explains, ..it });
    assert_eq!(still, heard);
    play(&other, &learned);
    // What had no code may have been the mechanism: asked anew.
    let doubtful = play(again, &learned);
    play(asked, &doubtful);
    // A mechanism that was not there may have come since.
    let token = relayed(Mechanism::XOAuth2, "user=tim^auth=Bearer x^^");
    play_again(asked, token, learned.clone(), Cut::Lines);
    // Under STLS the greeting is anybody's.
    let stls = "H: +OK ready <5.6@h>
         G: STLS
         H: +OK
         TLS
         G: CAPA
         EOF
         = Unreachable { cause: \"connection closed in state=capability\" }";
    play_again(stls, login(StartTls::Yes, b"s3cret"), learned, Cut::Lines);
}

/// Whatever ends a login: the next one asks.
#[test]
fn what_came_to_grief_is_asked_anew() {
    let remembered = "H: +OK ready
         G: AUTH PLAIN AGFsaWNlAHMzY3JldA==\n";
    let with = || login(StartTls::No, b"s3cret");
    let good = format!("{ASKED}H: +OK\n= done \"\" rest \"\" NotSent");
    let learned = play_again(&good, with(), None, Cut::Lines);
    for (grief, sure) in [
        (
            "H: -ERR [AUTH] no\n= Refused { code: AuthenticationFailed, alert: None }",
            true,
        ),
        (
            "H: what\n= HostProtocol { expected: \"an answer to AUTH\", got: \"4 octets\" }",
            false,
        ),
        (
            "EOF\n= Unreachable { cause: \"connection closed in state=login\" }",
            false,
        ),
        ("", false),
    ] {
        for first in [ASKED, remembered] {
            let script = format!("{first}{grief}");
            let left = play_again(
                &script,
                with(),
                learned.clone().filter(|_| first == remembered),
                Cut::Lines,
            );
            let then = match sure {
                true => remembered,
                false => "H: +OK ready\nG: CAPA",
            };
            play_again(then, with(), left, Cut::Lines);
        }
    }
}

#[test]
fn xclient_goes_with_a_login_that_needs_no_question() {
    let xclient = "G: XCLIENT ADDR=192.0.2.7 PORT=5000 DESTADDR=192.0.2.1 DESTPORT=995 SESSION=S1 TTL=4 CLIENT-TRANSPORT=tls";
    for pipelining in ["H: PIPELINING", ""] {
        let first = format!(
            "H: +OK [XCLIENT] ready
             {xclient}
             G: CAPA
             H: +OK
             H: +OK
             H: SASL PLAIN
             {pipelining}
             H: .
             G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
             H: +OK
             = done \"\" rest \"\" NotSent"
        );
        let with = || login(StartTls::No, b"s3cret");
        let learned = play_again(&first, with(), None, Cut::Lines);
        let again = format!(
            "H: +OK [XCLIENT] ready
             {xclient}
             G: AUTH PLAIN AGFsaWNlAHMzY3JldA==
             H: -ERR not you
             H: +OK in
             = done \"in\" rest \"\" NotSent"
        );
        let again = match pipelining {
            "" => first,
            _ => again,
        };
        play_again(&again, with(), learned, Cut::Lines);
    }
}

/// Whoever began before another one heard it does not make it unheard.
#[test]
fn what_a_slower_login_did_not_hear_stays_heard() {
    let profile = |greeting: &[u8], explains| Profile {
        greeting: greeting.to_vec(),
        can: Some(Can::NOTHING),
        explains,
    };
    for (slow, others, want) in [
        (Explains::NotYet, Explains::Heard, Explains::Heard),
        (Explains::NotYet, Explains::NotYet, Explains::NotYet),
        (Explains::Heard, Explains::NotYet, Explains::Heard),
    ] {
        let mut slow = profile(b"+OK hi", slow);
        slow.heed(&profile(b"+OK hi", others));
        assert_eq!(slow.explains, want);
    }
    let mut other = profile(b"+OK another program", Explains::NotYet);
    other.heed(&profile(b"+OK hi", Explains::Heard));
    assert_eq!(other.explains, Explains::NotYet);
}

/// A look: the host's lines, what is said, and the mechanisms it offers or how it fails.
#[test]
fn a_look_sends_no_credentials() {
    for (host, said, want) in [
        (
            &["+OK hi", "+OK", "SASL PLAIN XOAUTH2", "."][..],
            "CAPA\r\n",
            Ok("PLAIN XOAUTH2"),
        ),
        (&["+OK hi", "-ERR what"], "CAPA\r\n", Ok("")),
        (&["-ERR [SYS/TEMP] later"], "", Err("Refused")),
    ] {
        let remembered = Profile {
            greeting: b"+OK hi".to_vec(),
            can: Some(Can::NOTHING),
            explains: Explains::NotYet,
        };
        let mut client = Client::look(StartTls::No, 1, Some(remembered));
        let mut script = host.iter();
        let mut wrote = String::new();
        let end = loop {
            match client.step() {
                HostStep::Read => match script.next() {
                    Some(line) => client.receive(format!("{line}\r\n").as_bytes()),
                    None => client.closed(),
                },
                HostStep::Write(bytes) => wrote += std::str::from_utf8(&bytes).unwrap(),
                HostStep::Done(_) => break Ok(()),
                HostStep::Failed(failure) => break Err(format!("{failure:?}")),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wrote, said);
        assert!(!client.credentials_sent());
        match want {
            Err(failure) => assert!(end.unwrap_err().starts_with(failure)),
            Ok(names) => {
                let can = client.learned().unwrap().mechanisms().unwrap();
                let can: Vec<&str> = can.iter().map(Mechanism::name).collect();
                assert_eq!((end, can.join(" ").as_str()), (Ok(()), names));
            }
        }
    }
}
