//! Hosts that announce what they do not do: the login that hears of it goes on where it can, and the next
//! one goes another way.

use super::*;

/// One conversation after the other with the same host: each knows what the one before learned.
fn one_after_the_other(
    with: (&'static str, &'static str, &'static [&'static str]),
    all: &[&'static str],
) -> Option<Profile> {
    let mut learned = None;
    for lines in all {
        let talk = Talk {
            name: lines,
            with,
            lines,
        };
        learned = play(&talk, learned, &|_| Vec::new()).learned();
    }
    learned
}

/// Announces SASL-IR, and asks for the response all the same.
#[test]
fn an_initial_response_that_is_not_read_is_said_again_and_then_no_more() {
    one_after_the_other(
        ALICE,
        &[
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x
             C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
             S: +
             C: AGFsaWNlAGh1bnRlcjI=
             S: <1> OK in
             = done \"in\"",
            "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x
             C: <1> LOGIN \"alice\" \"hunter2\"
             S: <1> OK in
             = done \"in\"",
        ],
    );
    // Not for ever: nobody asks three times.
    one_after_the_other(
        ALICE,
        &["S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x
             C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
             S: +
             C: AGFsaWNlAGh1bnRlcjI=
             S: + and again
             = host broke the protocol: expected a tagged reply, got \"+, 11 octets\""],
    );
}

/// Announces SASL-IR, and says BAD to it.
#[test]
fn what_is_answered_with_bad_is_not_tried_again() {
    let greeting = "S: * OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] x\n";
    let at_once = format!(
        "{greeting}C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
         S: <1> BAD too many arguments
         = host broke the protocol: expected OK or NO to the login, got \"BAD, 31 octets\""
    );
    let otherwise = format!(
        "{greeting}C: <1> LOGIN \"alice\" \"hunter2\"
         S: <1> OK in
         = done \"in\""
    );
    let bad_too = format!(
        "{greeting}C: <1> LOGIN \"alice\" \"hunter2\"
         S: <1> BAD I am like that
         = host broke the protocol: expected OK or NO to the login, got \"BAD, 27 octets\""
    );
    let leak = |text: String| -> &'static str { text.leak() };
    let (at_once, otherwise, bad_too) = (leak(at_once), leak(otherwise), leak(bad_too));
    one_after_the_other(ALICE, &[at_once, otherwise, otherwise]);
    // It says BAD to everything: that was not it.
    one_after_the_other(ALICE, &[at_once, bad_too, at_once]);
}

/// Announces LITERAL+, and asks for each literal, or says BAD to them.
#[test]
fn literals_that_are_asked_for_all_the_same() {
    let quotes = ("alice", "hun\"ter", &[][..]);
    let asked = "S: * OK [CAPABILITY IMAP4rev1 LITERAL+] x
         C: <1> LOGIN {5+}
         C: alice {7+}
         C: hun\"ter
         S: + go on
         S: + go on
         S: <1> OK in
         = done \"in\"";
    let bad = "S: * OK [CAPABILITY IMAP4rev1 LITERAL+] x
         C: <1> LOGIN {5+}
         C: alice {7+}
         C: hun\"ter
         S: <1> BAD what is a plus
         = host broke the protocol: expected OK or NO to the login, got \"BAD, 27 octets\"";
    let then = "S: * OK [CAPABILITY IMAP4rev1 LITERAL+] x
         C: <1> LOGIN \"alice\" \"hun\\\"ter\"
         S: <1> OK in
         = done \"in\"";
    for first in [asked, bad] {
        one_after_the_other(quotes, &[first, then]);
    }
}

/// Whatever ends a login that went by what was remembered: the next one asks.
#[test]
fn what_came_to_grief_is_asked_anew() {
    let first = "S: * OK Old ready.
         C: <1> CAPABILITY
         S: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR
         S: <1> OK
         C: <2> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
         S: <2> OK in
         = done \"in\"";
    for grief in [
        "S: <1> NO mechanism not supported
         = refused AUTHENTICATIONFAILED",
        "S: <2> OK early
         = host broke the protocol: expected the reply to our command, got \"OK, 17 octets\"",
        "S: * PREAUTH hello again
         = host broke the protocol: expected no PREAUTH behind the greeting, got \"PREAUTH, 21 octets\"",
        "EOF
         = host not reached: it closed the connection in state=login",
        // Gives it up there: the time is over.
        "= waits",
    ] {
        let second = format!(
            "S: * OK Old ready.
             C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
             {grief}"
        );
        let third = "S: * OK Old ready.
             C: <1> CAPABILITY
             = waits";
        let learned = one_after_the_other(ALICE, &[first, second.leak(), third]);
        // What the host takes is still known to whoever lists it.
        assert!(learned.is_some());
    }
    // A wrong password, said with its code, is no lie.
    let wrong = "S: * OK Old ready.
         C: <1> AUTHENTICATE PLAIN AGFsaWNlAGh1bnRlcjI=
         S: <1> NO [AUTHENTICATIONFAILED] no
         = refused AUTHENTICATIONFAILED";
    one_after_the_other(ALICE, &[first, wrong, wrong]);
}
