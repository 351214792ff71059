//! The table that `tests/FAULTS.md` is.

use std::fmt::Write as _;

use super::Row;

/// The lines without the column of times.
pub(super) fn timeless(table: &str) -> impl Iterator<Item = String> {
    table.lines().map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        match cells[..] {
            [fault, saw, _, leaked] => format!("{fault} | {saw} | {leaked}"),
            _ => line.to_owned(),
        }
    })
}

pub(super) fn table(rows: &[(usize, Row)]) -> String {
    let mut text = format!(
        "# Faults, and what came of them

What hostile, broken or dying clients and hosts did to a running gateway, what the client saw of it, and what was left of it:
connections, sessions, descriptors, a panic, a password in the log. After each of them, and after all together whose fault is a timeout,
somebody else logged in as ever. Written by `GATEPOST_FAULTS=write cargo test --test e2e faults`; `cargo test` plays all {} and compares.
`…` stands for octets, `closed` for the end of the connection; times are those of one run, where a timeout was a fault it was set to 2 to 6 s.
Which test holds which promise: [THREATS.md](THREATS.md).

`nothing` was left within 5 s, from when the client was gone, or had been left by the gateway. Who ends its half (FIN) may want its
answers: the gateway leaves it after 5 s in which nothing moves, and the check gives it 10 s for that, as machines are slow.
Where a timeout is the fault, the connections of each client and of its host are looked for one by one, with all others on their way.
A connection is there for as long as the process has a descriptor of it, though the kernel lists it no more (it was reset, or both halves are
closed). What follows half a message is told octet by octet, and a host that was sent half of one is sent nothing behind it.

Three connections stay longer, by design and for a time of their own. That to a host which is judging a password stays until it has
(`login_timeout` at most, here 2 s), or leaving early would be guessing without being counted: looked for 7 s, where \"the host decides\" and
where a login waits behind another's. One to an IMAP host may wait 20 s for the next poll of its POP3 clients, where they were let in five times in
20 s: looked for 25 s, where sessions lose their host again and again. And both sides stay where the host takes nothing of what its client
said before it left, for 20 s, as it may be storing a message: `src/session/relay/tests/gone.rs`.

One cell takes ten minutes and is played in virtual time: a host's silence while QUIT removes messages, which is carried out though its
client has left, for five minutes and on two connections at most (`tests/translate/losses.rs`).
",
        rows.len()
    );
    let mut class = "";
    for (_, row) in rows {
        if row.class != class {
            class = row.class;
            write!(
                text,
                "\n## {class}\n\n| fault | the client saw | time | leaked |\n|---|---|---:|---|\n"
            )
            .unwrap();
        }
        writeln!(
            text,
            "| {} | {} | {:.2} s | {} |",
            row.name,
            row.saw,
            row.took.as_secs_f64(),
            row.leaked
        )
        .unwrap();
    }
    text
}
