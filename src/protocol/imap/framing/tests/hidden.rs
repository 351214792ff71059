//! Commands that only the host sees, in a literal that it does not take: they change what later octets are.

use super::*;

#[test]
fn a_hidden_idle_makes_no_literal_sure() {
    const MINUS: Option<&str> = Some("IMAP4rev1 LITERAL- IDLE");
    // Longer than a host with LITERAL- takes.
    let long = [
        b"z APPEND x {4102+}\r\n".as_slice(),
        &[b'x'; 4094],
        b"\r\nq IDLE\r\n",
    ]
    .concat();
    let scripts: &[(Option<&str>, Script)] = &[
        // The host asks for the octets of the IDLE, and what looks like a literal are commands.
        (
            None,
            &[
                (
                    'c',
                    b"z APPEND x {6+}\r\nq IDLE\r\nb APPEND x {99}\r\n",
                    "wait",
                ),
                ('h', b"z BAD\r\n+ idling\r\nq BAD\r\n", "wait"),
                ('c', b"c UNAUTHENTICATE\r\n", "end"),
            ],
        ),
        // Refused in the middle.
        (
            None,
            &[
                ('c', b"z APPEND x {20+}\r\nq IDLE", "wait"),
                ('h', b"z BAD\r\n", "wait"),
                ('c', b"\r\nb APPEND x {99}\r\n", "wait"),
                ('h', b"+ idling\r\nq BAD\r\n", "wait"),
                ('c', b"c UNAUTHENTICATE\r\n", "end"),
            ],
        ),
        (
            MINUS,
            &[
                ('c', &long, "wait"),
                ('h', b"z BAD\r\n+ idling\r\n", "bye"),
                ('c', b"b APPEND x {99+}\r\n", "wait"),
                ('c', b"c UNAUTHENTICATE\r\n", "end"),
            ],
        ),
        // Mail is mail nevertheless.
        (
            None,
            &[
                ('c', b"z APPEND x {6+}\r\nq IDLE\r\n", "wait"),
                ('h', b"z OK\r\n", "bye"),
                ('c', b"b APPEND x {13}\r\n", "wait"),
                ('h', b"+ go\r\n", "wait"),
                ('c', b"a letter\r\nx y\r\n", "wait"),
                ('h', b"b OK\r\n", "bye"),
            ],
        ),
    ];
    play_all(scripts);
}
