//! A crowd: a mail host that serves any number of clients cheaply, and such clients, all in one task
//! each. The host takes every login and has one message in each mailbox, which it sends slowly.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Octets of the message, and the pieces it is sent in, one each [`PACE`].
pub(crate) const MESSAGE: usize = 320_000;
const PIECES: usize = 32;
const PACE: Duration = Duration::from_millis(60);

const CAPABILITY: &str = "CAPABILITY IMAP4rev1 SASL-IR IDLE";

/// A runtime with everything on.
pub(crate) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Starts a host that lives as long as the runtime; gives its port.
pub(crate) fn host(runtime: &Runtime) -> u16 {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    runtime.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = play(tcp).await;
            });
        }
    });
    port
}

async fn play(tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut tcp = BufReader::new(tcp);
    say(
        &mut tcp,
        &format!("* OK [{CAPABILITY}] at your service\r\n"),
    )
    .await?;
    let mut line = String::new();
    loop {
        line.clear();
        if tcp.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let tag = words.next().unwrap_or("*").to_owned();
        let verb = words.next().unwrap_or("").to_ascii_uppercase();
        let mut done = format!("{tag} OK done\r\n");
        match verb.as_str() {
            "CAPABILITY" => say(&mut tcp, &format!("* {CAPABILITY}\r\n")).await?,
            "LOGIN" | "AUTHENTICATE" => done = format!("{tag} OK [{CAPABILITY}] in\r\n"),
            "IDLE" => {
                say(&mut tcp, "+ idling\r\n").await?;
                line.clear();
                if tcp.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
            }
            "FETCH" => {
                say(&mut tcp, &format!("* 1 FETCH (BODY[] {{{MESSAGE}}}\r\n")).await?;
                let piece = vec![b'x'; MESSAGE / PIECES];
                for _ in 0..PIECES {
                    tokio::time::sleep(PACE).await;
                    tcp.get_mut().write_all(&piece).await?;
                }
                say(&mut tcp, ")\r\n").await?;
            }
            "LOGOUT" => {
                say(&mut tcp, &format!("* BYE bye\r\n{done}")).await?;
                return tcp.get_mut().shutdown().await;
            }
            _ => {}
        }
        say(&mut tcp, &done).await?;
    }
}

async fn say(tcp: &mut BufReader<TcpStream>, words: &str) -> io::Result<()> {
    tcp.get_mut().write_all(words.as_bytes()).await
}

/// One of the crowd, logged in.
pub(crate) struct Client {
    tcp: BufReader<TcpStream>,
}

impl Client {
    /// Connects and hears the greeting.
    pub(crate) async fn connect(port: u16) -> io::Result<Client> {
        let tcp = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
        tcp.set_nodelay(true)?;
        let tcp = BufReader::new(tcp);
        let mut client = Client { tcp };
        let greeting = client.line().await?;
        assert!(greeting.starts_with("* OK "), "{greeting}");
        Ok(client)
    }

    /// Connects and logs in.
    pub(crate) async fn logged_in(port: u16, user: &str) -> io::Result<Client> {
        let mut client = Client::connect(port).await?;
        let answer = client.command(&format!("LOGIN {user} secret")).await?;
        assert!(answer.starts_with("a OK"), "{answer}");
        Ok(client)
    }

    pub(crate) async fn send(&mut self, words: &str) -> io::Result<()> {
        self.tcp.get_mut().write_all(words.as_bytes()).await
    }

    /// The next line; the end of the connection is an error.
    pub(crate) async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.tcp.read_line(&mut line).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }

    /// A command; gives its tagged answer, or the BYE that came instead.
    pub(crate) async fn command(&mut self, command: &str) -> io::Result<String> {
        self.send(&format!("a {command}\r\n")).await?;
        loop {
            let line = self.line().await?;
            if line.starts_with("a ") || line.starts_with("* BYE") {
                return Ok(line);
            }
        }
    }

    /// IDLE, up to the host's `+`.
    pub(crate) async fn idle(&mut self) -> io::Result<()> {
        self.send("a IDLE\r\n").await?;
        let answer = self.line().await?;
        assert!(answer.starts_with('+'), "{answer}");
        Ok(())
    }

    /// FETCH of the message, up to the first octets of it.
    pub(crate) async fn begin_fetch(&mut self) -> io::Result<()> {
        self.send("a FETCH 1 BODY[]\r\n").await?;
        let line = self.line().await?;
        assert!(line.starts_with("* 1 FETCH"), "{line}");
        let mut octet = [0];
        self.tcp.read_exact(&mut octet).await?;
        Ok(())
    }

    /// What follows [`begin_fetch`](Client::begin_fetch): the rest of the message, its tagged OK.
    pub(crate) async fn end_fetch(&mut self) -> io::Result<()> {
        let mut rest = vec![0; MESSAGE - 1];
        self.tcp.read_exact(&mut rest).await?;
        assert!(rest.iter().all(|octet| *octet == b'x'));
        assert_eq!(self.line().await?, ")\r\n");
        assert_eq!(self.line().await?, "a OK done\r\n");
        Ok(())
    }

    /// Everything up to the end of the connection, which is to be one in order.
    pub(crate) async fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        self.tcp.read_to_string(&mut rest).await?;
        Ok(rest)
    }
}
