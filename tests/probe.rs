//! `gatepost probe` against a gateway with the built-in store, and against servers that are not well.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use absent::Absent;

#[path = "support/absent.rs"]
mod absent;

/// A gateway; it ends with its test.
struct Gateway {
    child: Child,
    ca: PathBuf,
    ports: [u16; 3],
    _held: [Absent; 3],
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    fn start() -> Gateway {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe");
        fs::create_dir_all(&dir).unwrap();
        let pair = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap();
        let ca = dir.join("tls.crt");
        fs::write(&ca, pair.cert.pem()).unwrap();
        fs::write(dir.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
        let held: [Absent; 3] = std::array::from_fn(|_| Absent::new());
        let ports = held.each_ref().map(|it| it.at.port());
        let [imap, imaps, pop3] = ports;
        let file = format!(
            "listeners: ['imap://127.0.0.1:{imap}', 'imaps://127.0.0.1:{imaps}', 'pop3://127.0.0.1:{pop3}']\n\
             tls: {{ cert: tls.crt, key: tls.key }}\nbackends: {{ demo: demo:// }}\nusers: {{ '*': demo }}\n"
        );
        fs::write(dir.join("proxy.yaml"), file).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .current_dir(&dir)
            .env_remove("GATEPOST_CONFIG")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It says where to connect as soon as it serves.
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        assert!(BufReader::new(stdout).read_line(&mut line).unwrap() > 0);
        Gateway {
            child,
            ca,
            ports,
            _held: held,
        }
    }
}

fn probe(args: &[&str], password: &str) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .arg("probe")
        .args(args)
        .env_remove("GATEPOST_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(password.as_bytes());
    drop(stdin);
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let told = [stdout, stderr].concat();
    (status.code().unwrap(), String::from_utf8(told).unwrap())
}

#[test]
fn a_gateway_that_is_well() {
    let gateway = Gateway::start();
    let [imap, imaps, pop3] = gateway.ports.map(|port| format!("127.0.0.1:{port}"));
    let [imap, imaps, pop3] = [
        format!("imap://{imap}"),
        format!("imaps://{imaps}"),
        format!("pop3://{pop3}"),
    ];
    let ca = gateway.ca.to_str().unwrap();
    let all = [imap.as_str(), &imaps, &pop3];
    let name = ["--tls-name", "mail.example.org"];

    let args = [&all[..], &name, &["--ca", ca, "--user", "demo"]].concat();
    let (code, told) = probe(&args, "demo\n");
    assert_eq!(code, 0, "{told}");
    for words in [
        "TLSv1.3",
        "mail.example.org;",
        "AUTH=PLAIN",
        "login        demo:",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert_eq!(told.matches("well         yes").count(), 3, "{told}");

    // Without a user nothing is sent but questions.
    let (code, told) = probe(&[&all[..], &["--no-verify"]].concat(), "");
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("not verified"), "{told}");

    let (code, told) = probe(
        &[&all[..1], &name, &["--ca", ca, "--user", "demo"]].concat(),
        "wrong-one\n",
    );
    assert_eq!(code, 1);
    assert!(told.contains("the login was refused"), "{told}");
    assert!(!told.contains("wrong-one"), "{told}");

    // A certificate nobody believes is shown, and no password is sent.
    for more in [&["--ca", ca][..], &["--tls-name", "mail.example.org"]] {
        let (code, told) = probe(&[&all[1..2], more].concat(), "");
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("is not believed"), "{told}");
        assert!(told.contains("mail.example.org;"), "{told}");
    }
    let (code, told) = probe(
        &[&all[1..2], &["--no-verify", "--user", "demo"]].concat(),
        "demo",
    );
    assert_eq!(code, 1);
    assert!(told.contains("was not sent"), "{told}");
}

#[test]
fn what_is_not_well_is_said() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let scripts: [&[u8]; 5] = [
        b"* BYE too busy\r\n",
        b"",
        b"220 smtp\r\n",
        b"* OK hi\r\nc BAD what\r\n",
        // Something in clear behind the yes to STARTTLS.
        b"* OK hi\r\n* CAPABILITY IMAP4rev1 STARTTLS\r\nc OK\r\ns OK go\r\n* CAPABILITY X\r\n",
    ];
    let serve = std::thread::spawn(move || {
        for script in scripts {
            let (mut client, _) = server.accept().unwrap();
            client.write_all(script).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = client.read_to_end(&mut Vec::new());
        }
    });
    let target = format!("imap://127.0.0.1:{port}");
    for words in [
        "no welcome: * BYE too busy",
        "no greeting came",
        "no welcome: 220 smtp",
        "CAPABILITY was refused: BAD what",
        "bytes in clear came before it",
    ] {
        let (code, told) = probe(&[&target], "");
        assert_eq!(code, 1);
        assert!(told.contains(words), "{words}: {told}");
    }
    serve.join().unwrap();
    let absent = Absent::new();
    let (code, told) = probe(&[&format!("imap://{}", absent.at)], "");
    assert_eq!(code, 1);
    assert!(told.contains("cannot connect"), "{told}");
    assert_eq!(probe(&["127.0.0.1:10143"], "").0, 2);
    assert_eq!(probe(&[], "").0, 2);
}
