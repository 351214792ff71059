//! The mail of the tests: one message of each awkward shape, and ordinary ones to fill a mailbox.

/// A message with the reason it is there.
pub(crate) struct Sample {
    pub(crate) what: &'static str,
    pub(crate) octets: Vec<u8>,
}

/// Messages that differ in what POP3 and IMAP may get wrong about them, with LF line ends as a
/// Maildir has them.
pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |what, octets: Vec<u8>| samples.push(Sample { what, octets });
    add("plain", message("plain", b"Hello.\n"));
    add(
        "leading dots",
        message("dots", b".\n..\n...\n.x\n\n.\n\n.\r\n. \nx.\n.y\n..\n"),
    );
    add(
        "a dot is the first octet",
        b".Odd: header\nSubject: dot first\n\n.body\n".to_vec(),
    );
    add(
        "no final newline",
        message("no final newline", b"the last line has no end"),
    );
    add(
        "the last line is a dot without end",
        message("dot at the end", b"line\n."),
    );
    add("every 8-bit octet", {
        let mut body: Vec<u8> = (0x80..=0xff).collect();
        body.extend_from_slice("\nünïcödé: €, 漢字\n".as_bytes());
        let mut octets = "Subject: ünëncoded\nFrom: a@example.org\n\n"
            .as_bytes()
            .to_vec();
        octets.extend_from_slice(&body);
        octets
    });
    add("a line of 70 KB", {
        let mut body = vec![b'x'; 70_000];
        body.extend_from_slice(b"\n.");
        body.extend_from_slice(&vec![b'.'; 70_000]);
        body.extend_from_slice(b"\nend\n");
        message("long lines", &body)
    });
    add(
        "headers only, with the empty line",
        message("headers only", b""),
    );
    add(
        "headers only, without the empty line",
        b"Subject: headers\nFrom: a@example.org\n".to_vec(),
    );
    add(
        "headers only, the last one without end",
        b"Subject: headers\nFrom: a@example.org".to_vec(),
    );
    add("1.5 MB", {
        let mut body = Vec::with_capacity(1_600_000);
        let mut n = 0_u32;
        while body.len() < 1_500_000 {
            let dots = ".".repeat(usize::try_from(n % 4).unwrap());
            body.extend_from_slice(format!("{dots}line {n} of a large body\n").as_bytes());
            n += 1;
        }
        message("large", &body)
    });
    add("1.5 MB without any line end", {
        message("large and flat", &vec![b'.'; 1_500_000])
    });
    add(
        "a folded header of 9 KB",
        [
            &b"Subject: long header\nReferences:"[..],
            &b" <0123456789@example.org>\n".repeat(350),
            b"From: a@example.org\n\nbody\n",
        ]
        .concat(),
    );
    add("only line ends", message("only line ends", &[b'\n'; 200]));
    add(
        "CRLF line ends in the file",
        b"Subject: crlf\r\nFrom: a@example.org\r\n\r\n.one\r\n..two\r\n".to_vec(),
    );
    add(
        "IMAP and POP3 in the body",
        message(
            "protocols",
            b"+OK\n-ERR\n* BYE\nt1 OK done\n)\n{5}\n{5+}\n.\n+OK\n* 1 FETCH (BODY[] {3}\n",
        ),
    );
    samples
}

/// So many messages: samples, then ordinary ones.
pub(crate) fn mailbox(count: usize) -> Vec<Vec<u8>> {
    let samples = samples().into_iter().take(count);
    let mut messages: Vec<Vec<u8>> = samples.map(|sample| sample.octets).collect();
    for n in messages.len()..count {
        let lines = "An ordinary line of an ordinary message.\n".repeat(n % 40);
        messages.push(message(&format!("ordinary {n}"), lines.as_bytes()));
    }
    messages
}

/// A message as the protocols show it: every line ends in CRLF (bare LF becomes CRLF).
pub(crate) fn crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 30);
    let mut last = 0;
    for &octet in octets {
        if octet == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(octet);
        last = octet;
    }
    out
}

/// A message as POP3 sends it: a line begun is ended.
pub(crate) fn crlf_ended(octets: &[u8]) -> Vec<u8> {
    let mut out = crlf(octets);
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A small message.
pub(crate) fn message(subject: &str, body: &[u8]) -> Vec<u8> {
    let id: String = subject.split(' ').collect::<Vec<_>>().join("-");
    let mut octets = format!(
        "From: Ann Example <ann@example.org>\nTo: alice@example.com\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <{id}@example.org>\n\
         Subject: {subject}\n\n"
    )
    .into_bytes();
    octets.extend_from_slice(body);
    octets
}
