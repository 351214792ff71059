//! Headers that are read, however they come, and those that are refused.

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client(client: &str, connected: &str) -> Origin {
    Origin::Client {
        client: address(client),
        connected: address(connected),
    }
}

/// Found by fuzzing: of some characters the first half alone was refused, the whole was not.
#[test]
fn what_is_not_ascii_is_refused_however_it_is_cut() {
    let header = "PROXY UNKNOWN ff \u{1bb} ::1\r\n".as_bytes();
    let first = header.iter().position(|octet| !octet.is_ascii()).unwrap();
    for cut in 0..=header.len() {
        let wanted = match cut <= first {
            true => Ok(None),
            false => Err(Malformed),
        };
        assert_eq!(parse(&header[..cut]), wanted, "{cut}");
    }
}

/// Found by fuzzing: an octet more than there may be was taken when all came at once, refused in parts.
#[test]
fn a_line_too_long_is_refused_however_it_is_cut() {
    for (length, good) in [(MAX_V1, true), (MAX_V1 + 1, false), (MAX_V1 + 2, false)] {
        let mut header = b"PROXY UNKNOWN ".to_vec();
        header.resize(length - 2, b'x');
        header.extend_from_slice(b"\r\n");
        let whole = match good {
            true => Ok(Some((Origin::Sender, length))),
            false => Err(Malformed),
        };
        for more in [&b""[..], b"U", b"USER alice\r\n"] {
            assert_eq!(parse(&[&header[..], more].concat()), whole, "{length}");
        }
        for cut in 0..length {
            let wanted = match cut < MAX_V1 {
                true => Ok(None),
                false => Err(Malformed),
            };
            assert_eq!(parse(&header[..cut]), wanted, "{cut} of {length}");
        }
    }
}

#[test]
fn version_1() {
    let good = client("192.0.2.1:56324", "198.51.100.7:993");
    let good6 = client("[2001:db8::1]:4124", "[2001:db8::2]:993");
    for (header, want) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.7 56324 993\r\n", Ok(good)),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 4124 993\r\n", Ok(good6)),
        ("PROXY UNKNOWN\r\n", Ok(Origin::Sender)),
        ("PROXY UNKNOWN ff::1 ff::2 1 2\r\n", Ok(Origin::Sender)),
        (
            "PROXY TCP4 192.0.2.1 198.51.100.7 +56324 993\r\n",
            Err(Malformed),
        ),
        (
            "PROXY TCP4 192.0.2.1 198.51.100.7 056324 993\r\n",
            Err(Malformed),
        ),
        (
            "PROXY TCP4 192.0.2.1 198.51.100.7 65536 993\r\n",
            Err(Malformed),
        ),
        (
            "PROXY TCP4 192.0.2.1 198.51.100.7 1 993 x\r\n",
            Err(Malformed),
        ),
        ("PROXY TCP4 192.0.2.1 2001:db8::2 1 993\r\n", Err(Malformed)),
        (
            "PROXY UDP4 192.0.2.1 198.51.100.7 1 993\r\n",
            Err(Malformed),
        ),
        (
            "proxy TCP4 192.0.2.1 198.51.100.7 1 993\r\n",
            Err(Malformed),
        ),
        ("PROXY TCP4 192.0.2.1 198.51.100.7 1 993\n", Err(Malformed)),
        ("a001 CAPABILITY\r\n", Err(Malformed)),
        ("\r\nnothing", Err(Malformed)),
    ] {
        let octets = [header.as_bytes(), b"a1 NOOP\r\n"].concat();
        let got = parse(&octets);
        assert_eq!(
            got,
            want.map(|origin| Some((origin, header.len()))),
            "{header}"
        );
    }
}

#[test]
fn any_start_of_a_header_waits_for_more() {
    let (from, to) = (address("192.0.2.1:5"), address("198.51.100.7:993"));
    for version in [Version::V1, Version::V2] {
        let whole = header(version, from, to, "abc");
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), Ok(None), "{version:?} {cut}");
        }
        let want = client("192.0.2.1:5", "198.51.100.7:993");
        assert_eq!(parse(&whole), Ok(Some((want, whole.len()))));
    }
    let mixed = header(Version::V2, from, address("[2001:db8::1]:993"), "abc");
    let want = client("192.0.2.1:5", "[2001:db8::1]:993");
    assert_eq!(parse(&mixed), Ok(Some((want, mixed.len()))));
}

#[test]
fn exactly_the_header_is_read_however_it_comes() {
    let (from, to) = (address("192.0.2.1:5"), address("198.51.100.7:993"));
    for whole in [
        header(Version::V1, from, to, "abc"),
        header(Version::V2, from, to, "abc"),
        local(Version::V1),
        local(Version::V2),
    ] {
        let all = [&whole[..], b"\r\na1 NOOP\r\n"].concat();
        for chunk in 1..all.len() {
            let mut read = Vec::new();
            while parse(&read) == Ok(None) {
                let waiting = &all[read.len()..all.len().min(read.len() + chunk)];
                let due = due(&read, waiting);
                assert!(due > 0);
                read.extend_from_slice(&waiting[..due]);
            }
            assert_eq!(read, whole, "{chunk}");
        }
    }
    assert_eq!(parse(&local(Version::V1)), Ok(Some((Origin::Sender, 15))));
    assert_eq!(parse(&local(Version::V2)), Ok(Some((Origin::Sender, 16))));
}

#[test]
fn clients_that_start_like_a_sender_are_known() {
    let (from, to) = (address("192.0.2.1:5"), address("198.51.100.7:993"));
    let begins = |octets: &[u8], chunk| {
        let mut beginning = Beginning::default();
        octets.chunks(chunk).any(|part| beginning.is_header(part))
    };
    for chunk in 1..15 {
        for version in [Version::V1, Version::V2] {
            assert!(begins(&header(version, from, to, "abc"), chunk));
            assert!(begins(&local(version), chunk));
        }
        let later = "a1 NOOP\r\nPROXY TCP4 192.0.2.1 198.51.100.7 5 993\r\n";
        for fine in [
            "",
            "PROXY NOOP\r\n",
            "a1 NOOP\r\n",
            "\r\n",
            "QUIT\r\n",
            later,
        ] {
            assert!(!begins(fine.as_bytes(), chunk));
        }
    }
}

#[test]
fn a_checksum_must_be_right() {
    let (from, to) = (address("192.0.2.1:5"), address("198.51.100.7:993"));
    let stream = ProxiedAddress::stream(from, to);
    let tlvs = || {
        [
            Tlv::Authority("mail.example.com".into()),
            Tlv::Crc32c(0),
            Tlv::Noop(2),
        ]
    };
    let mut octets = Vec::new();
    let header = ProxyHeader::with_tlvs(Some(stream), tlvs());
    header.encode_v2(&mut octets).unwrap();
    assert_eq!(parse(&octets), Err(Malformed), "a checksum of nought");
    let sum = CRC32C.checksum(&octets).to_be_bytes();
    let at = octets.windows(3).position(|w| w == [3, 0, 4]).unwrap() + 3;
    octets[at..at + 4].copy_from_slice(&sum);
    assert!(matches!(parse(&octets), Ok(Some(_))));
    for i in 0..octets.len() {
        let mut damaged = octets.clone();
        damaged[i] ^= 0x01;
        assert!(
            !matches!(parse(&damaged), Ok(Some((Origin::Client { .. }, _)))),
            "{i}"
        );
    }
}

#[test]
fn a_length_without_end_is_refused() {
    for command in [0x20, 0x21] {
        let mut octets = SIGNATURE.to_vec();
        octets.extend([command, 0x11, 0xff, 0xff]);
        octets.resize(MAX, 0);
        assert_eq!(parse(&octets), Err(Malformed));
    }
}

/// One octet more than there may be was taken when all came at once, refused in parts.
#[test]
fn a_block_too_long_is_refused_however_it_is_cut() {
    for command in [0x20, 0x21] {
        for (length, good) in [(MAX, true), (MAX + 1, false)] {
            // TLVs of nothing but PP2_TYPE_NOOP without a value, behind no addresses.
            let block = u16::try_from(length - FIXED).unwrap().to_be_bytes();
            let mut whole = [SIGNATURE, &[command, 0x00], &block].concat();
            whole.extend([4, 0, 0].iter().cycle().take((length - FIXED) / 3 * 3 - 3));
            let rest = u8::try_from(length - whole.len() - 3).unwrap();
            whole.extend([4, 0, rest]);
            whole.resize(length, 0);
            let taken = Ok(Some((Origin::Sender, length)));
            let want = if good { taken } else { Err(Malformed) };
            assert_eq!(parse(&whole), want, "{command:#x} {length}");
            for cut in 0..length {
                let known = !good && cut >= FIXED;
                let want = if known { Err(Malformed) } else { Ok(None) };
                assert_eq!(parse(&whole[..cut]), want, "{command:#x} {cut} of {length}");
            }
        }
    }
}

/// The specification: a receiver must take LOCAL, and discard the block with its family.
#[test]
fn whatever_stands_behind_local_is_discarded() {
    let header = |command: u8, family: u8, block: &[u8]| {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, block].concat()
    };
    let crc = [3, 0, 4, 0, 0, 0, 0];
    for (family, block) in [
        (0x00, &b""[..]),
        (0x00, b"no TLVs"),
        (0x00, &crc),
        (0x11, b""),
        (0x11, b"short"),
        (0x12, &[0; 12]),
        (0x21, &[0; 36]),
        (0x31, b"short"),
        (0xff, b"of no family"),
    ] {
        let whole = header(0x20, family, block);
        for more in [&b""[..], b"a1 NOOP\r\n"] {
            let octets = [&whole[..], more].concat();
            let want = Ok(Some((Origin::Sender, whole.len())));
            assert_eq!(parse(&octets), want, "{family:#x} {block:?}");
        }
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), Ok(None), "{family:#x} {cut}");
        }
    }
    // Not so for a client, nor in another version.
    for (command, family, block) in [
        (0x21, 0x11, &b"short"[..]),
        (0x21, 0xff, b""),
        (0x21, 0x00, &crc),
        (0x10, 0x00, b""),
        (0x30, 0x00, b""),
        (0x22, 0x00, b""),
    ] {
        let octets = header(command, family, block);
        assert_eq!(parse(&octets), Err(Malformed), "{command:#x} {family:#x}");
    }
}
