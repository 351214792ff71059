//! Passwords with spaces, quotes, backslashes and octets beyond ASCII, in every way to log in that
//! IMAP and POP3 have.

use crate::support::gateway::Settings;
use crate::support::imap;
use crate::support::need::{DOVECOT, Need, needs};
use crate::support::pop3;
use crate::support::users::{AWKWARD, WRONG};
use crate::support::{Dovecot, Gateway, Imap, Pop3, Stage};

#[test]
fn imap() {
    needs!(DOVECOT);
    let stage = Stage::new();
    imap_ways(&stage.gateway, First::Wrong);
}

/// A host that gives no capabilities it need not give: no SASL-IR, no LITERAL+.
#[test]
fn imap_on_a_host_that_can_little() {
    needs!(DOVECOT);
    let stage = Stage::on(
        |scratch, pki| Dovecot::with(scratch, pki, "imap_capability = IMAP4rev1"),
        |dovecot, _| Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap)),
    );
    imap_ways(&stage.gateway, First::Wrong);
    pop3_ways(&stage.gateway, First::Wrong);
}

#[test]
fn pop3_from_imap() {
    needs!(DOVECOT);
    let stage = Stage::new();
    pop3_ways(&stage.gateway, First::Wrong);
}

#[test]
fn pop3_relayed() {
    needs!(DOVECOT);
    let stage = Stage::relaying_pop3();
    pop3_ways(&stage.gateway, First::Wrong);
}

/// Courier takes LOGIN and nothing else, and literals only when it invited them.
#[test]
fn on_a_host_with_login_only() {
    needs!(Need::Unpacked("courier"), Need::Namespace);
    use crate::support::legacy::Kind;
    use crate::support::{Scratch, pki::Pki};
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let courier = Kind::Courier.start(&scratch);
    let gateway = Gateway::to(format!("imap://127.0.0.1:{}", courier.imap), &scratch, &pki);
    // Courier thinks for five seconds about a wrong password; others are asked instead.
    imap_ways(&gateway, First::Nothing);
    pop3_ways(&gateway, First::Nothing);
}

/// What a client shows before the right password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Wrong,
    Nothing,
}

fn imap_ways(gateway: &Gateway, first: First) {
    for user in AWKWARD {
        for way in imap::WAYS {
            let mut imap = Imap::plain(gateway.ports.imap);
            if first == First::Wrong {
                imap.login(way, user.name, WRONG).no("AUTHENTICATIONFAILED");
            }
            let answer = imap.login(way, user.name, user.password);
            assert!(
                answer.status.starts_with("OK"),
                "{} by {way:?}: {}",
                user.name,
                answer.status
            );
            imap.command("SELECT INBOX").ok();
            imap.command("LOGOUT").ok();
        }
    }
}

fn pop3_ways(gateway: &Gateway, first: First) {
    for user in AWKWARD {
        for way in pop3::WAYS {
            let mut pop3 = Pop3::plain(gateway.ports.pop3);
            if first == First::Wrong {
                let answer = pop3.login(way, user.name, WRONG);
                assert!(
                    answer.starts_with("-ERR [AUTH]"),
                    "{} by {way:?}: {answer}",
                    user.name
                );
            }
            let answer = pop3.login(way, user.name, user.password);
            assert!(
                answer.starts_with("+OK"),
                "{} by {way:?}: {answer}",
                user.name
            );
            pop3.ok("STAT");
            pop3.ok("QUIT");
        }
    }
}
