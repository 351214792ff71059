//! The mail a new store holds: a word of welcome, and one of each thing that mail programs find
//! hard.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::account::Arrival;
use super::date::DateTime;
use super::parse::{ANSWERED, DRAFT, FLAGGED, SEEN};
use super::store::Store;

const HOUR: i64 = 3600;

/// The mailboxes, with their special use (RFC 6154).
const MAILBOXES: [(&str, Option<&str>); 5] = [
    ("INBOX", None),
    ("Archive", Some("\\Archive")),
    ("Drafts", Some("\\Drafts")),
    ("Sent", Some("\\Sent")),
    ("Trash", Some("\\Trash")),
];

/// A message: mailbox, flags, age in hours, the fields before its Date, and what follows them.
type Mail = (&'static str, u64, i64, &'static str, Body);

enum Body {
    Text(&'static str),
    /// [`picture`], with a text before it.
    Picture,
}

const MAIL: [Mail; 9] = [
    ("INBOX", FLAGGED, 0, WELCOME.0, Body::Text(WELCOME.1)),
    ("INBOX", 0, 2, BOTH_FORMS.0, Body::Text(BOTH_FORMS.1)),
    ("INBOX", 0, 3, PICTURE, Body::Picture),
    ("INBOX", SEEN, 26, EIGHT_BIT.0, Body::Text(EIGHT_BIT.1)),
    ("INBOX", SEEN, 27, DOTS.0, Body::Text(DOTS.1)),
    (
        "INBOX",
        SEEN | ANSWERED,
        50,
        QUESTION.0,
        Body::Text(QUESTION.1),
    ),
    ("INBOX", 0, 48, FOLLOW_UP.0, Body::Text(FOLLOW_UP.1)),
    ("Sent", SEEN, 49, REPLY.0, Body::Text(REPLY.1)),
    (
        "Drafts",
        SEEN | DRAFT,
        1,
        UNFINISHED.0,
        Body::Text(UNFINISHED.1),
    ),
];

/// Fills a new store.
pub(super) fn fill(store: &Store) {
    let now = store.now();
    store.with(|account| {
        for (name, special) in MAILBOXES {
            account.add(name, special, now);
            account.subscribed.insert(name.to_owned());
        }
        for (mailbox, flags, age, fields, body) in &MAIL {
            let date = DateTime::utc(now.seconds.saturating_sub(age * HOUR));
            let raw = message(fields, date, body);
            let mailbox = account.named(mailbox).map(|mailbox| mailbox.validity);
            if let (Some(mailbox), Some(room)) = (mailbox, store.reserve(raw.len())) {
                let flags = *flags;
                let arrival = Arrival {
                    flags,
                    date,
                    raw,
                    room,
                };
                // A new mailbox has UIDs left.
                let _ = account.deliver(mailbox, vec![arrival]);
            }
        }
    });
}

fn message(fields: &str, date: DateTime, body: &Body) -> Bytes {
    let date = date.header();
    let text = match body {
        Body::Text(text) => format!("{fields}Date: {date}\n{text}"),
        Body::Picture => format!("{fields}Date: {date}\n{}", picture()),
    };
    text.replace('\n', "\r\n").into()
}

/// A multipart/mixed of a text and a picture of 200 KB: a BMP, which needs no compression.
fn picture() -> String {
    const SIDE: u32 = 224;
    let size = 54 + SIDE * SIDE * 3;
    let mut bmp = Vec::new();
    bmp.extend_from_slice(b"BM");
    for word in [size, 0, 54, 40, SIDE, SIDE] {
        bmp.extend_from_slice(&word.to_le_bytes());
    }
    // One plane of 24 bits; the rest of the header may be zero.
    bmp.extend_from_slice(&[1, 0, 24, 0]);
    bmp.extend_from_slice(&[0; 24]);
    for y in 0..SIDE {
        for x in 0..SIDE {
            // A post on a meadow under the evening sky.
            let post = (90..134).contains(&x) && (30..180).contains(&y);
            let meadow = y < 60;
            let shade = u8::try_from(y).unwrap_or(u8::MAX);
            bmp.extend_from_slice(&match (post, meadow) {
                (true, _) => [40, 60, 90],
                (_, true) => [40, 90 + shade, 50],
                _ => [shade, 120 + shade / 4, 255 - shade / 2],
            });
        }
    }
    let encoded = STANDARD.encode(bmp);
    let mut text = PICTURE_START.to_owned();
    let mut rest = encoded.as_str();
    while let Some((line, behind)) = rest.split_at_checked(rest.len().min(76)) {
        if line.is_empty() {
            break;
        }
        text.push_str(line);
        text.push('\n');
        rest = behind;
    }
    text.push_str("--picture--\n");
    text
}

/// Fields before Date, and everything behind it.
type Parts = (&'static str, &'static str);

const WELCOME: Parts = (
    "From: Gatepost <gatepost@demo.example>\n\
     To: demo@demo.example\n\
     Subject: Welcome: this mail came through Gatepost\n\
     Message-ID: <welcome@demo.example>\n",
    include_str!("welcome.txt"),
);

const BOTH_FORMS: Parts = (
    "From: \"Lee, Ann\" <ann@demo.example>\n\
     To: Demo <demo@demo.example>, team: bob@demo.example, carol@demo.example;\n\
     Subject: One text in two forms\n\
     Message-ID: <two-forms@demo.example>\n",
    "MIME-Version: 1.0\n\
     Content-Type: multipart/alternative; boundary=\"forms\"\n\
     \n\
     Programs that know MIME do not show this line.\n\
     --forms\n\
     Content-Type: text/plain; charset=utf-8\n\
     Content-Transfer-Encoding: quoted-printable\n\
     \n\
     The same text twice: plain, and as HTML. Your program shows one of the =\n\
     two. Caf=C3=A9 at four?\n\
     \n\
     --forms\n\
     Content-Type: text/html; charset=utf-8\n\
     Content-Transfer-Encoding: quoted-printable\n\
     \n\
     <p>The same text twice: plain, and as <b>HTML</b>. Your program shows =\n\
     one of the two. Caf=C3=A9 at four?</p>\n\
     \n\
     --forms--\n",
);

const PICTURE: &str = "From: Bob <bob@demo.example>\n\
     To: demo@demo.example\n\
     Subject: =?utf-8?Q?A_picture_of_200_KB_=E2=80=93_try_the_download?=\n\
     Message-ID: <picture@demo.example>\n";

const PICTURE_START: &str = "MIME-Version: 1.0\n\
     Content-Type: multipart/mixed; boundary=picture\n\
     \n\
     --picture\n\
     Content-Type: text/plain\n\
     \n\
     The picture is worth 200 KB of base64.\n\
     --picture\n\
     Content-Type: image/bmp; name=\"gatepost.bmp\"\n\
     Content-Transfer-Encoding: base64\n\
     Content-Disposition: attachment; filename=\"gatepost.bmp\"\n\
     \n";

const EIGHT_BIT: Parts = (
    "From: =?utf-8?B?SsO8cmcgR3LDvG4=?= <joerg@demo.example>\n\
     To: demo@demo.example\n\
     Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= in 8-bit UTF-8\n\
     Message-ID: <eight-bit@demo.example>\n",
    "MIME-Version: 1.0\n\
     Content-Type: text/plain; charset=utf-8\n\
     Content-Transfer-Encoding: 8bit\n\
     \n\
     Schöne Grüße! 你好, здравствуйте, γειά σου.\n\
     Each octet above 127 passes as it is: ä ö ü ß € ✓\n",
);

const DOTS: Parts = (
    "From: carol@demo.example (Carol)\n\
     To: demo@demo.example\n\
     Subject: Lines that start with dots\n\
     Message-ID: <dots@demo.example>\n",
    "\n\
     POP3 ends a message by a line of one dot, so it doubles those that start a\n\
     line. Through the gateway you see exactly these:\n\
     .\n\
     ..\n\
     ...three, and a word\n\
     .hidden\n\
     That was all, and nothing was cut off at the first one.\n\
     .\n",
);

const QUESTION: Parts = (
    "From: Dave <dave@demo.example>\n\
     To: demo@demo.example\n\
     Subject: Moving the mail store\n\
     Message-ID: <question@demo.example>\n",
    "\n\
     We move to the new store next week. Must everybody change the server's name?\n\
     \n\
     Dave\n",
);

const REPLY: Parts = (
    "From: demo@demo.example\n\
     To: Dave <dave@demo.example>\n\
     Subject: Re: Moving the mail store\n\
     In-Reply-To: <question@demo.example>\n\
     References: <question@demo.example>\n\
     Message-ID: <reply@demo.example>\n",
    "\n\
     > Must everybody change the server's name?\n\
     \n\
     No: they stay with the gateway's name, and it knows where each user's mail is.\n",
);

const FOLLOW_UP: Parts = (
    "From: Dave <dave@demo.example>\n\
     To: demo@demo.example\n\
     Subject: Re: Moving the mail store\n\
     In-Reply-To: <reply@demo.example>\n\
     References: <question@demo.example> <reply@demo.example>\n\
     Message-ID: <follow-up@demo.example>\n",
    "\n\
     > they stay with the gateway's name, and it knows where each user's mail is.\n\
     \n\
     Good. Then I need not tell anybody.\n",
);

const UNFINISHED: Parts = (
    "From: demo@demo.example\n\
     To: ann@demo.example\n\
     Subject: Re: One text in two forms\n\
     In-Reply-To: <two-forms@demo.example>\n\
     Message-ID: <unfinished@demo.example>\n",
    "\n\
     At four, yes, and\n",
);
