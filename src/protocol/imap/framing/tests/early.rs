//! Answers to commands that are not at their end: each is counted once, so that a BYE may stand again.

use super::*;

#[test]
fn an_answer_before_the_commands_end_is_its_only_one() {
    let scripts: &[(Option<&str>, Script)] = &[
        // Refused before the literal is whole, by a host that takes it nevertheless.
        (
            PLUS,
            &[
                ('c', b"a APPEND Nope {20+}\r\nDate: x", "wait"),
                ('h', b"a NO [TRYCREATE] x\r\n", "wait"),
                ('c', b"\r\n0123456789a", "wait"),
                ('c', b"\r\n", "bye"),
                ('c', b"b NOOP\r\n", "wait"),
                ('h', b"b OK\r\n", "bye"),
            ],
        ),
        (
            None,
            &[
                ('c', b"a APPEND Nope {9}\r\n", "wait"),
                ('h', b"+ go\r\n", "wait"),
                ('c', b"0123", "wait"),
                ('h', b"* 1 EXISTS\r\na NO full\r\n", "wait"),
                ('c', b"45678\r\n", "bye"),
            ],
        ),
        // Behind its literal, and between two.
        (
            PLUS,
            &[
                ('c', b"a APPEND x {3+}\r\n012", "wait"),
                ('h', b"a NO\r\n", "wait"),
                ('c', b" {3+}\r\n012", "wait"),
                ('c', b"\r\n", "bye"),
            ],
        ),
        // Others run meanwhile, and are answered in whatever order.
        (
            PLUS,
            &[
                ('c', b"b NOOP\r\na APPEND x {3+}\r\n0", "wait"),
                ('h', b"a NO\r\n", "wait"),
                ('h', b"b OK\r\n", "wait"),
                ('c', b"12\r\n", "bye"),
            ],
        ),
        (
            PLUS,
            &[
                ('c', b"b NOOP\r\na APPEND x {3+}\r\n0", "wait"),
                ('h', b"a NO\r\n", "wait"),
                ('c', b"12\r\n", "wait"),
                ('h', b"b OK\r\n", "bye"),
            ],
        ),
        // One tag for all commands; and one that a longer one begins with.
        (
            PLUS,
            &[
                ('c', b"a NOOP\r\na APPEND x {3+}\r\n0", "wait"),
                ('h', b"a OK\r\n", "wait"),
                ('c', b"12\r\n", "wait"),
                ('h', b"a NO\r\n", "bye"),
            ],
        ),
        (
            PLUS,
            &[
                ('c', b"a NOOP\r\na", "wait"),
                ('h', b"a OK\r\n", "wait"),
                ('c', b"b NOOP\r\n", "wait"),
                ('h', b"ab OK\r\n", "bye"),
            ],
        ),
        // An IDLE whose tag was answered before keeps what it is for.
        (
            PLUS,
            &[
                ('c', b"a NOOP\r\na IDLE ", "wait"),
                ('h', b"a OK\r\n", "wait"),
                ('c', b"\r\n", "bye"),
                ('c', b"DONE\r\n", "wait"),
                ('h', b"a OK\r\n", "bye"),
            ],
        ),
    ];
    play_all(scripts);
}
