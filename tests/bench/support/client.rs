//! A plain POP3 client: polls a maildrop, or collects it, one command after the other.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A logged-in POP3 session.
pub struct Pop3 {
    reader: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl Pop3 {
    /// Connects and logs in with USER and PASS.
    pub fn log_in(at: SocketAddr, user: &str) -> io::Result<Self> {
        let tcp = TcpStream::connect(at)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(Duration::from_secs(600)))?;
        let reader = BufReader::with_capacity(256 * 1024, tcp);
        let mut pop3 = Pop3 {
            reader,
            line: Vec::new(),
        };
        pop3.answer()?;
        pop3.command(&format!("USER {user}"))?;
        pop3.command("PASS secret")?;
        Ok(pop3)
    }

    /// STAT, UIDL, LIST, QUIT, as a client does that looks for new mail; how many messages.
    pub fn poll(mut self) -> io::Result<usize> {
        self.command("STAT")?;
        self.command("UIDL")?;
        let ids = self.lines()?;
        self.command("LIST")?;
        let sizes = self.lines()?;
        if ids != sizes {
            return Err(io::Error::other(format!("{ids} ids, {sizes} sizes")));
        }
        self.command("QUIT")?;
        Ok(ids)
    }

    /// RETR of every message, QUIT; how many octets, dot-stuffing taken out.
    pub fn collect(mut self, messages: usize) -> io::Result<u64> {
        let mut octets = 0;
        for n in 1..=messages {
            self.command(&format!("RETR {n}"))?;
            loop {
                let line = self.next_line()?;
                match line {
                    b".\r\n" => break,
                    stuffed if stuffed.starts_with(b".") => octets += stuffed.len() as u64 - 1,
                    plain => octets += plain.len() as u64,
                }
            }
        }
        self.command("QUIT")?;
        Ok(octets)
    }

    fn command(&mut self, line: &str) -> io::Result<()> {
        self.reader
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<()> {
        let line = self.next_line()?;
        if line.starts_with(b"+OK") {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(line).into_owned()))
    }

    /// How many lines stand before the terminator.
    fn lines(&mut self) -> io::Result<usize> {
        let mut count = 0;
        while self.next_line()? != b".\r\n" {
            count += 1;
        }
        Ok(count)
    }

    fn next_line(&mut self) -> io::Result<&[u8]> {
        self.line.clear();
        if self.reader.read_until(b'\n', &mut self.line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(&self.line)
    }
}
