//! What is hidden of a conversation, and what is shown.

use super::*;

fn told(language: Language, side: Side, text: &[u8], piece: usize) -> Vec<String> {
    let mut lines = Lines::new(language, side);
    let (mut told, mut answers) = (Vec::new(), Answers::default());
    for octets in text.chunks(piece.max(1)) {
        lines.take(octets, &mut answers, &mut |line| told.push(line));
    }
    told
}

/// Both directions of conversations with `S3CRET` wherever a credential can be, and what is told.
const CASES: &[(Language, Side, &str, &[&str])] = &[
    (
        Language::Imap,
        Side::Client,
        "a CAPABILITY\r\nb LOGIN alice S3CRET\r\nc login \"alice\" \"S3CRET\"\r\n",
        &["a CAPABILITY", "b LOGIN [hidden]", "c LOGIN [hidden]"],
    ),
    (
        Language::Imap,
        Side::Client,
        "b LOGIN {5}\r\nalice {6}\r\nS3CRET\r\nc SELECT INBOX\r\n",
        &["b LOGIN [hidden] [literal of 5 octets]", "c SELECT INBOX"],
    ),
    (
        Language::Imap,
        Side::Client,
        "b LOGIN alice {6+}\r\nS3CRET\r\nc NOOP\r\n",
        &["b LOGIN [hidden] [literal of 6 octets]", "c NOOP"],
    ),
    (
        Language::Imap,
        Side::Client,
        "b AUTHENTICATE PLAIN S3CRET=\r\nc AUTHENTICATE LOGIN\r\nS3CRET\r\nS3CRET==\r\nd IDLE\r\nDONE\r\n",
        &[
            "b AUTHENTICATE [hidden]",
            "c AUTHENTICATE [hidden]",
            "[hidden, 6 octets]",
            "[hidden, 8 octets]",
            "d IDLE",
            "DONE",
        ],
    ),
    // The host refuses the literal: what follows is no literal, and yet not shown until its line ends.
    (
        Language::Imap,
        Side::Client,
        "a SEARCH TEXT {20}\r\nb LOGIN somebody S3CRETS3CRET\r\nc NOOP\r\n",
        &["a SEARCH TEXT {20} [literal of 20 octets]", "c NOOP"],
    ),
    // A literal in the middle of what may be shown.
    (
        Language::Imap,
        Side::Client,
        "a SEARCH TEXT {6}\r\nS3CRET SUBJECT S3CRET\r\nb APPEND x {8}\r\nS3CRET\r\n\r\nc LOGOUT\r\n",
        &[
            "a SEARCH TEXT {6} [literal of 6 octets]",
            "b APPEND x {8} [literal of 8 octets]",
            "c LOGOUT",
        ],
    ),
    // Typed wrong.
    (
        Language::Imap,
        Side::Client,
        "LOGIN alice S3CRET\r\nb LOGON alice S3CRET\r\nS3CRET\r\n\r\nb  LOGIN a S3CRET\r\n",
        &[
            "[hidden, 18 octets]",
            "[hidden, 20 octets]",
            "[hidden, 6 octets]",
            "[hidden, 0 octets]",
            "[hidden, 17 octets]",
        ],
    ),
    (
        Language::Imap,
        Side::Client,
        "b GENURLAUTH \"imap://S3CRET\" INTERNAL\nc XOAUTH S3CRET\n",
        &["[hidden, 37 octets]", "[hidden, 15 octets]"],
    ),
    (
        Language::Imap,
        Side::Client,
        "a LOGIN {99999999999999999999999}\r\nS3CRET\r\nb NOOP\r\n",
        &["a LOGIN [hidden] [literal of 18446744073709551615 octets]"],
    ),
    (
        Language::Imap,
        Side::Gateway,
        "* OK ready\r\n+ S3CRET\r\n+\r\na OK done\r\n* 1 FETCH (BODY[] {8}\r\nS3CRET\r\n FLAGS ())\r\n\
         * GENURLAUTH \"S3CRET\"\r\nb OK\r\n",
        &[
            "* OK ready",
            "+ [hidden]",
            "+ [hidden]",
            "[hidden] OK [hidden]",
            "* 1 FETCH (BODY[] {8} [literal of 8 octets]",
            "[hidden, 21 octets]",
            "[hidden] OK [hidden]",
        ],
    ),
    (
        Language::Pop3,
        Side::Client,
        "CAPA\r\nUSER alice\r\nPASS S3CRET word\r\nAUTH PLAIN\r\nS3CRET=\r\nauth plain S3CRET\r\n\
         APOP alice S3CRET\r\nPASSS3CRET\r\nRETR 1\r\nQUIT\r\n",
        &[
            "CAPA",
            "USER [hidden]",
            "PASS [hidden]",
            "AUTH [hidden]",
            "[hidden, 7 octets]",
            "AUTH [hidden]",
            "APOP [hidden]",
            "[hidden, 10 octets]",
            "RETR 1",
            "QUIT",
        ],
    ),
    (
        Language::Pop3,
        Side::Gateway,
        "+OK ready\r\n+ S3CRET\r\n+OK 2 lines\r\nSubject: S3CRET\r\nS3CRET\r\n.\r\n-ERR no\r\n",
        &[
            "+OK ready",
            "+ [hidden]",
            "+OK 2 lines",
            "[3 lines]",
            "-ERR no",
        ],
    ),
    // Of a message nothing is an answer.
    (
        Language::Pop3,
        Side::Gateway,
        "+OK list\r\n.\r\n+OK\r\nSubject: x\r\n+OK S3CRET\r\n-ERR S3CRET\r\n..\r\n.\r\n-ERR no\r\n",
        &["+OK list", "[1 lines]", "+OK", "[5 lines]", "-ERR no"],
    ),
    // Compressed (RFC 4978).
    (
        Language::Imap,
        Side::Gateway,
        "a OK\r\n\u{1}S3CRET\n",
        &["[hidden] OK [hidden]", "[hidden, 7 octets]"],
    ),
];

#[test]
fn credentials_are_hidden_however_the_octets_are_cut() {
    for (language, side, text, want) in CASES {
        for piece in [1, 2, 3, 7, text.len()] {
            let told = told(*language, *side, text.as_bytes(), piece);
            assert_eq!(told, *want, "{text:?} in pieces of {piece}");
            assert!(!told.concat().contains("S3CRET"));
        }
    }
}

#[test]
fn no_end_of_a_line_is_taken_for_a_start() {
    // A line too long to be kept announces a literal at its end.
    let long = format!(
        "a SEARCH {} {{30}}\r\nb SEARCH S3CRET\r\nc NOOP\r\n",
        "x".repeat(3000)
    );
    let told = told(Language::Imap, Side::Client, long.as_bytes(), 100);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].len() < 600 && told[0].ends_with('…'));
    assert_eq!(told[1], "c NOOP");
    assert!(!told.concat().contains("S3CRET"));
}

#[test]
fn memory_is_bounded_and_nothing_panics() {
    let mut lines = Lines::new(Language::Imap, Side::Client);
    let mut answers = Answers::default();
    let mut state = 1_u32;
    let alphabet = b"a LOGIN{}0123456789+\r\n\" S3\xff\0*";
    for _ in 0..20_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let octet = alphabet[(state >> 16) as usize % alphabet.len()];
        lines.take(&[octet], &mut answers, &mut |line| {
            assert!(line.len() < 2000)
        });
        assert!(lines.line.len() <= LINE);
        if lines.literal > 1000 {
            lines.literal = 0;
        }
    }
}

/// A client that asks for more than is looked after: nothing of its mail is shown, whatever else is not.
#[test]
fn who_asks_for_too_much_at_once_is_not_shown_its_mail() {
    let mut answers = Answers::default();
    let mut client = Lines::new(Language::Pop3, Side::Client);
    client.take(&b"NOOP\r\n".repeat(5000), &mut answers, &mut |_| {});
    client.take(b"RETR 1\r\n", &mut answers, &mut |_| {});
    let mut gateway = Lines::new(Language::Pop3, Side::Gateway);
    let mut told = Vec::new();
    let mut hear = |octets: &[u8]| gateway.take(octets, &mut answers, &mut |line| told.push(line));
    hear(b"-ERR no\r\n");
    hear(&b"+OK\r\n".repeat(5000));
    hear(b"+OK\r\n+OK S3CRET\r\n.\r\n-ERR no\r\n");
    assert_eq!(told, ["-ERR no", "+OK", "[5002 lines]", "-ERR no"]);
}

/// Who says what, and what is told of it.
type Talk<'a> = (&'a [(char, &'a str)], &'a [&'a str]);

/// `c` says it, or the gateway. What a client sent in the belief that it was asked for may be its password, and is
/// answered as a command, with its tag.
#[test]
fn answers_are_shown_to_what_was_shown() {
    let talks: [Talk; 4] = [
        (
            &[
                ('c', "a AUTHENTICATE PLAIN\r\nS3CRET\r\nb NOOP\r\n"),
                (
                    'g',
                    "a NO [PRIVACYREQUIRED] TLS first\r\nS3CRET BAD expected a command\r\nb OK\r\n",
                ),
            ],
            &[
                "a AUTHENTICATE [hidden]",
                "[hidden, 6 octets]",
                "b NOOP",
                "a NO [PRIVACYREQUIRED] TLS first",
                "[hidden] BAD [hidden]",
                "b OK",
            ],
        ),
        (
            &[
                ('c', "a.1 LOGIN alice {20000}\r\n"),
                ('g', "a.1 BAD literal too long\r\n"),
            ],
            &[
                "a.1 LOGIN [hidden] [literal of 20000 octets]",
                "a.1 BAD literal too long",
            ],
        ),
        (
            &[
                ('c', "a XPASS S3CRET\r\n"),
                ('g', "a BAD XPASS S3CRET?\r\n"),
            ],
            &["[hidden, 14 octets]", "[hidden] BAD [hidden]"],
        ),
        // Once.
        (
            &[
                ('c', "S3 NOOP\r\n"),
                ('g', "S3 OK\r\nS3 OK S3CRET\r\nS3CRET\r\nS3CRET S3CRET\r\n"),
            ],
            &[
                "S3 NOOP",
                "S3 OK",
                "[hidden] OK [hidden]",
                "[hidden, 6 octets]",
                "[hidden, 13 octets]",
            ],
        ),
    ];
    for (talk, want) in talks {
        let mut answers = Answers::default();
        let mut client = Lines::new(Language::Imap, Side::Client);
        let mut gateway = Lines::new(Language::Imap, Side::Gateway);
        let mut told = Vec::new();
        for (side, text) in talk {
            let lines = match side {
                'c' => &mut client,
                _ => &mut gateway,
            };
            lines.take(text.as_bytes(), &mut answers, &mut |line| told.push(line));
        }
        assert_eq!(told, want);
    }
}
