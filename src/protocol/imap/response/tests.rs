//! How a conversation is cut, whatever parts it comes in, and what is kept of it.

use super::*;

/// A conversation as text: lines, streamed literals in angle brackets, `!` for nonsense.
fn read(input: &[u8], sizes: &[usize]) -> String {
    let mut reader = Reader::default();
    let mut out = String::new();
    let (mut start, mut turn) = (0, 0);
    while start < input.len() {
        let size = sizes[turn % sizes.len()];
        turn += 1;
        let end = input.len().min(start + size);
        let mut at = start;
        loop {
            let chunk = &input[at..end];
            let mut stream = false;
            let (used, piece) = reader.next(chunk);
            at += used;
            match piece {
                Err(nonsense) => return format!("{out}!{}", nonsense.0),
                Ok(None) => break,
                Ok(Some(Piece::Line(line))) => {
                    out.push_str(&line.escape_ascii().to_string());
                    out.push('|');
                }
                Ok(Some(Piece::Literal { octets, text })) => {
                    stream = text.ends_with(b"BODY[] ");
                    if stream {
                        out.push_str(&format!("{{{octets}}}"));
                    }
                }
                Ok(Some(Piece::Octets(octets))) => {
                    out.push_str(&chunk[used - octets..used].escape_ascii().to_string());
                }
                Ok(Some(Piece::End)) => out.push_str("{/}"),
            }
            if stream {
                reader.stream();
            }
        }
        start = end;
    }
    out
}

#[test]
fn known_answers() {
    for (input, want) in [
        ("* 1 EXISTS\r\nA OK x\n", "* 1 EXISTS|A OK x|"),
        (
            "* 1 FETCH (BODY[] {3}\r\na\r\n UID 4)\r\nA OK\r\n",
            "{3}a\\r\\n{/}* 1 FETCH (BODY[] \\x00 UID 4)|A OK|",
        ),
        (
            "* 1 FETCH (BODY[] ~{0}\r\n)\r\n",
            "{0}{/}* 1 FETCH (BODY[] \\x00)|",
        ),
        // One line end announced too few.
        (
            "* 1 FETCH (BODY[] {1}\r\na\r\n)\r\n",
            "{1}a{/}* 1 FETCH (BODY[] \\x00)|",
        ),
        (
            "* 1 FETCH (BODY[] {1}\r\na\n UID 4)\r\n",
            "{1}a{/}* 1 FETCH (BODY[] \\x00 UID 4)|",
        ),
        // Half of one, or one and a half.
        (
            "* 1 FETCH (BODY[] {2}\r\na\r\n)\r\n",
            "{2}a\\r{/}!')' behind a literal",
        ),
        (
            "* 1 FETCH (BODY[] {1}\r\na\r)\r\n",
            "{1}a{/}!')' behind a literal",
        ),
        (
            "* 1 FETCH (BODY[] {1}\r\na\n\n)\r\n",
            "{1}a{/}!')' behind a literal",
        ),
        (
            "* 1 FETCH (BODY[] {1}\r\nabc)\r\n",
            "{1}a{/}!')' behind a literal",
        ),
        (
            "* 1 FETCH (BODY[] {1}\r\na\r\n\r\n)\r\n",
            "{1}a{/}!')' behind a literal",
        ),
        ("* 1 FETCH (BODY[] {-1}\r\n", "!the length of a literal"),
        // A kept literal stands as a quoted string.
        (
            "* LIST () \"/\" {6}\r\na\"\\\r\nb\r\nA OK\r\n",
            "* LIST () \\\"/\\\" \\\"a\\\\\\\"\\\\\\\\??b\\\"|A OK|",
        ),
        ("* OK text {5}\r\nA OK {3}\r\n", "* OK text {5}|A OK {3}|"),
    ] {
        for sizes in [&[usize::MAX >> 1][..], &[1], &[2], &[3, 1, 7]] {
            assert_eq!(read(input.as_bytes(), sizes), want, "{input} by {sizes:?}");
        }
    }
}

#[test]
fn long_lists_come_in_parts() {
    for (beginning, separator) in [
        ("* SEARCH ", ' '),
        ("* ESEARCH (TAG \"a\") UID ALL ", ','),
        ("* VANISHED (EARLIER) ", ','),
    ] {
        let list: Vec<String> = (1..100_000).map(|n| (n * 3).to_string()).collect();
        let input = format!(
            "{beginning}{}\r\nA OK\r\n",
            list.join(&separator.to_string())
        );
        for size in [4096, 60_000, 1_000_000] {
            let out = read(input.as_bytes(), &[size]);
            let mut numbers = Vec::new();
            let mut lines: Vec<&str> = out.split('|').collect();
            assert_eq!(lines.pop(), Some(""));
            assert_eq!(lines.pop(), Some("A OK"));
            assert!(size > 500_000 || lines.len() > 2);
            let escaped = beginning.escape_default().to_string();
            for line in lines {
                let line = line.strip_prefix(escaped.as_str()).unwrap();
                numbers.extend(line.split(separator).map(str::to_owned));
            }
            assert_eq!(numbers, list);
        }
    }
}

#[test]
fn nothing_grows_without_bound() {
    let mut reader = Reader::default();
    let flood = vec![b'x'; 1024];
    let mut fed = 0;
    loop {
        let (used, piece) = reader.next(&flood);
        fed += used;
        let failed = piece.is_err();
        assert!(reader.held() <= LONGEST_LINE && fed <= 2 * LONGEST_LINE);
        if failed {
            break;
        }
    }
    // A long literal nobody asked for is skipped.
    let mut reader = Reader::default();
    let _ = reader.next(b"* 1 FETCH (BODY[TEXT] {1000000}\r\n");
    for _ in 0..970 {
        assert_eq!(reader.next(&flood), (1024, Ok(None)));
    }
    assert!(reader.held() < 100);
}
