//! What we write to IMAP hosts, read back: logins in every form, names of mailboxes, sets of UIDs.
//! Whatever a user is called and whatever their password is, a host reads just that.

use gatepost::protocol::imap::client::Client as HostLeg;
use gatepost::protocol::imap::grammar::Tokens;
use gatepost::protocol::imap::mailbox::Mailbox;
use gatepost::protocol::imap::server::Server as Front;
use gatepost::protocol::imap::uid_set::UidSet;
use gatepost::protocol::pop3::config::Settings;
use gatepost::protocol::sasl::Mechanisms;
use gatepost::protocol::{
    Channel, Client as _, Credentials, FrontSettings, HostLogin, HostStep, Login, READ_CHUNK,
    Secret, Server as _, StartTls, Step, UserName, Welcome,
};

use super::Choice;

/// The first octet says what is written: a login in one of its forms, the name of a mailbox, or a set.
pub(crate) fn login(octets: &[u8]) {
    let mut choice = Choice(octets);
    let (form, split) = (choice.octet(), choice.octet());
    let rest = choice.0;
    match form >> 5 {
        6 => return mailbox(&String::from_utf8_lossy(rest)),
        7 => return uids(rest),
        _ => {}
    }
    let (name, password) = rest.split_at(usize::from(split).min(rest.len()));
    if let (Ok(user), Ok(secret)) = (UserName::new(name), Secret::new(password)) {
        let shown = through(form, &user, &secret);
        assert_eq!(shown.user, user);
        assert_eq!(shown.credentials.secret().unwrap().reveal(), password);
    }
}

/// Our host leg logs in to our own front, which says it can do these things.
fn through(form: u8, user: &UserName, password: &Secret) -> Login {
    let words = ["SASL-IR", "LITERAL+", "LITERAL-", "AUTH=PLAIN", "ID"];
    let mut list = vec!["IMAP4rev1".to_owned()];
    list.extend(
        words
            .iter()
            .zip(0..)
            .filter(|it| Choice::bit(form, it.1))
            .map(|it| (*it.0).to_owned()),
    );
    let mut front = Some(Box::new(Front::new(FrontSettings {
        greeting: "ready".into(),
        session: "S1".into(),
        channel: Channel::Tls,
        capabilities: Some(list),
        mechanisms: Mechanisms::PASSWORD,
        line: 8 * 1024,
        bad_commands: 5,
    })));
    let mut leg = HostLeg::new(
        HostLogin {
            user: user.clone(),
            credentials: Credentials::Password(password.clone()),
            starttls: StartTls::No,
            seed: 7,
            origin: None,
            behind: Vec::new(),
        },
        None,
    );
    let mut shown = None;
    for _ in 0..100 {
        match front.as_mut().map(|front| front.step()) {
            Some(Step::Write(octets)) => leg.receive(&octets),
            Some(Step::Login(login)) => {
                shown = Some(login);
                let handover = front.take().unwrap().accept(Welcome::default());
                assert_eq!(handover.to_host, b"", "something behind the login");
                leg.receive(&handover.to_client);
            }
            Some(Step::Read) | None => match leg.step() {
                HostStep::Write(octets) => {
                    for part in octets.chunks(READ_CHUNK) {
                        front.as_mut().unwrap().receive(part);
                    }
                }
                HostStep::Done(_) => return shown.expect("a login"),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    panic!("they talk for ever");
}

/// One command a line whatever the mailbox is called, and the name reads back.
fn mailbox(name: &str) {
    let settings = Settings {
        mailbox: name.to_owned(),
        ..Settings::default()
    };
    let commands = Mailbox::new(&settings, 7, None).opening();
    let text = std::str::from_utf8(&commands).expect("ASCII");
    assert!(text.ends_with("\r\n"));
    let lines: Vec<&str> = text.trim_end_matches("\r\n").split("\r\n").collect();
    assert!(lines.len() <= 3 && lines.iter().all(|line| line.is_ascii()));
    let mut tokens = Tokens::new(lines[0].as_bytes());
    assert!(tokens.tag().is_some());
    tokens.space().unwrap();
    assert_eq!(tokens.word(), b"SELECT");
    tokens.space().unwrap();
    let written = tokens.astring().unwrap();
    let wanted: String = name.chars().filter(|c| !c.is_ascii_control()).collect();
    assert_eq!(from_utf7(&written), wanted);
}

/// Modified UTF-7 (RFC 3501 §5.1.3) to text.
fn from_utf7(octets: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = octets;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'&' {
            text.push(char::from(octet));
            continue;
        }
        let end = rest.iter().position(|it| *it == b'-').expect("an end");
        let (shifted, tail) = rest.split_at(end);
        rest = &tail[1..];
        if shifted.is_empty() {
            text.push('&');
            continue;
        }
        let (mut bits, mut count, mut units) = (0_u32, 0, Vec::new());
        for octet in shifted {
            let value = match octet {
                b'A'..=b'Z' => octet - b'A',
                b'a'..=b'z' => octet - b'a' + 26,
                b'0'..=b'9' => octet - b'0' + 52,
                b'+' => 62,
                b',' => 63,
                _ => panic!("no base64"),
            };
            bits = bits << 6 | u32::from(value);
            count += 6;
            if count >= 16 {
                count -= 16;
                units.push((bits >> count) as u16);
                bits &= (1 << count) - 1;
            }
        }
        assert!(count < 6 && bits == 0, "octets left over");
        text.push_str(&String::from_utf16(&units).expect("UTF-16"));
    }
    text
}

/// A set reads back as it was written.
fn uids(octets: &[u8]) {
    let mut set = UidSet::new();
    for pair in octets.chunks_exact(4) {
        let first = u32::from(u16::from_be_bytes([pair[0], pair[1]]) % 512).max(1);
        set.push(first, first.saturating_add(u32::from(pair[2] % 8)));
        if pair[3] == 255 {
            set.push(u32::MAX, u32::MAX);
        }
    }
    set.normalise();
    let mut read = UidSet::new();
    let mut from = 0;
    while from < set.ranges().len() {
        let mut text = Vec::new();
        let to = set.write_chunk(from, &mut text);
        assert!(to > from, "nothing was written");
        read.read(&text);
        from = to;
    }
    read.normalise();
    assert_eq!(read.ranges(), set.ranges());
    assert!(set.minus(&read).is_empty() && set.is_subset(&read));
}
