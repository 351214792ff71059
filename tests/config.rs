//! `gatepost check` and `gatepost explain` on whole files: each `tests/config/*.yaml` beside what is
//! said about it.
//!
//! After a deliberate change, `GATEPOST_BLESS=1 cargo test --test config` writes the `.txt` files anew;
//! read the difference before committing it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A copy of the data, with a certificate and keys; all keys are private but `open.key`.
fn data(copy: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(copy);
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    let pair = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    fs::write(to.join("tls.crt"), pair.cert.pem()).unwrap();
    let key = pair.signing_key.serialize_pem();
    for (file, key, mode) in [
        ("tls.key", &key, 0o600),
        ("other.key", &other.serialize_pem(), 0o600),
        ("open.key", &key, 0o644),
    ] {
        fs::write(to.join(file), key).unwrap();
        fs::set_permissions(to.join(file), fs::Permissions::from_mode(mode)).unwrap();
    }
    to
}

fn gatepost(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(args)
        .current_dir(dir)
        .env_remove("GATEPOST_CONFIG")
        .env_remove("POP3_PORT")
        .env("GREETING", "Hello")
        .env("WEIGHT", "2")
        .output()
        .unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// A file that is being written, or was on a full disk: a reload would tell every user that the password is wrong.
#[test]
fn a_map_file_with_nothing_in_it_is_refused() {
    let dir = data("config-nothing");
    let settings = "listeners: [imap://127.0.0.1:1143]\nbackends: { old: imap://10.0.0.5 }\n\
                    users: { a: old }\nusers_from:\n  - file: map.txt\n";
    fs::write(dir.join("nothing.yaml"), settings).unwrap();
    let check = |map: &str| {
        fs::write(dir.join("map.txt"), map).unwrap();
        let got = gatepost(&dir, &["check", "-c", "nothing.yaml"]);
        (got.status.success(), text(&got.stderr))
    };
    for map in ["", "\n", "# users\r\n \t\n"] {
        let (taken, told) = check(map);
        assert!(
            !taken && told.contains("error[E041]: the map file is empty"),
            "{map:?}: {told}"
        );
        assert!(told.contains("map.txt"), "{told}");
    }
    for map in ["{}\n", "# none yet\n{}\n", "---\n{}\n", "b: old\n"] {
        let (taken, told) = check(map);
        assert!(taken, "{map:?}: {told}");
    }
}

/// Latin-1, as old systems write it: the place is told, not that reading failed.
#[test]
fn a_map_that_is_not_utf_8_is_told_with_its_place() {
    let dir = data("config-latin1");
    let settings = "listeners: [imap://127.0.0.1:1143]\nbackends: { old: imap://10.0.0.5 }\n\
                    users_from:\n  - file: latin1.txt\n";
    fs::write(dir.join("latin1.yaml"), settings).unwrap();
    fs::write(dir.join("latin1.txt"), b"a: old\nj\xfcrgen: old\nc: old\n").unwrap();
    let output = gatepost(&dir, &["check", "-c", "latin1.yaml"]);
    let told = text(&output.stdout) + &text(&output.stderr);
    assert!(!output.status.success());
    assert!(
        told.contains("cannot be read on: it is not UTF-8"),
        "{told}"
    );
    assert!(told.contains("latin1.txt:2:2"), "{told}");
}

#[test]
fn every_file_is_told_as_written_beside_it() {
    let dir = data("config-told");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<_> = fs::read_dir(&source)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() > 5);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let got = gatepost(&dir, &["check", "-c", name]);
        let told = text(&got.stderr);
        let beside = file.with_extension("txt");
        if std::env::var_os("GATEPOST_BLESS").is_some() {
            fs::write(&beside, &told).unwrap();
        }
        let want = fs::read_to_string(&beside).unwrap_or_default();
        if told != want {
            wrong.push(format!("{name}:\n{told}"));
        }
        let code = if told.contains("error[") { 2 } else { 0 };
        assert_eq!(got.status.code(), Some(code), "{name}: {told}");
        assert!(!told.contains("s3cret"), "{name} tells a secret");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn five_mistakes_are_five_problems_with_their_places() {
    let dir = data("config-five");
    let got = gatepost(&dir, &["check", "--json", "-c", "five.yaml"]);
    assert_eq!(got.status.code(), Some(2));
    let list: serde_json::Value = serde_json::from_slice(&got.stdout).unwrap();
    let errors: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["severity"] == "error")
        .map(|p| {
            let field = |name: &str| p[name].to_string().replace('"', "");
            format!(
                "{}:{}:{} {}",
                field("file"),
                field("line"),
                field("column"),
                field("code")
            )
        })
        .collect();
    assert_eq!(
        errors,
        [
            "five.yaml:1:1 E010",
            "five.yaml:4:8 E020",
            "five.yaml:7:22 E011",
            "five.yaml:10:9 E021",
            "five.yaml:11:19 E025",
        ]
    );
    for command in ["run", "explain x"] {
        let args: Vec<&str> = ["-c", "five.yaml"]
            .into_iter()
            .chain(command.split(' '))
            .collect();
        assert_eq!(gatepost(&dir, &args).status.code(), Some(2), "{command}");
    }
}

#[test]
fn the_shipped_file_is_fine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let got = gatepost(root, &["check"]);
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    let (config, _) = gatepost::config::Config::load(&root.join("proxy.yaml")).unwrap();
    let binds: Vec<String> = config
        .listeners
        .iter()
        .map(|l| format!("{} {:?} {}", l.protocol, l.tls, l.bind))
        .collect();
    assert_eq!(
        binds,
        [
            "imap Upgrade 127.0.0.1:1143",
            "imap Implicit 127.0.0.1:1993",
            "pop3 Upgrade 127.0.0.1:1110",
            "pop3 Implicit 127.0.0.1:1995",
        ]
    );
    assert_eq!(config.admin.unwrap().bind.to_string(), "127.0.0.1:9090");
}

#[test]
fn no_file_is_answered_with_one() {
    let dir = data("config-none");
    let got = gatepost(&dir, &["check"]);
    assert_eq!(got.status.code(), Some(2));
    let told = text(&got.stderr);
    assert!(
        told.starts_with("error: there is no proxy.yaml\n"),
        "{told}"
    );
    // The words make a file that is fine.
    let (_, script) = told.split_once("<<'END'\n").unwrap();
    let (file, _) = script.split_once("END\n").unwrap();
    fs::write(dir.join("proxy.yaml"), file).unwrap();
    assert_eq!(gatepost(&dir, &["check"]).status.code(), Some(0));
}

#[test]
fn explain_says_the_whole_decision() {
    let dir = data("config-explain");
    let explain = |args: &[&str]| {
        let all: Vec<&str> = ["explain", "-c", "everything.yaml"]
            .iter()
            .chain(args)
            .copied()
            .collect();
        let got = gatepost(&dir, &all);
        (got.status.code().unwrap(), text(&got.stdout))
    };
    let (code, told) = explain(&["Bob@Example.com", "--json"]);
    assert_eq!(code, 0);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["user"], "Bob@Example.com");
    assert_eq!(told["source"], "everything.yaml");
    assert_eq!(told["entry"], "bob@example.com");
    assert_eq!(told["line"], 51);
    assert_eq!(told["login"], "bob");
    assert_eq!(told["backend"], "cluster");
    assert_eq!(told["host"], "store-2");
    assert_eq!(
        told["hosts"],
        serde_json::json!([{ "name": "store-2", "state": "up", "weight": 2 }])
    );
    for (user, entry, source, login) in [
        (
            "carol@example.com",
            "carol@example.com",
            "good-map.txt",
            "carol@example.com",
        ),
        (
            "dave@EXAMPLE.org",
            "@example.org",
            "everything.yaml",
            "dave@EXAMPLE.org",
        ),
        (
            "dave",
            "@example.org",
            "everything.yaml",
            "dave@example.org",
        ),
        ("dave@example.net", "@example.net", "good-map.txt", "dave"),
        (
            "dave@a.b.example.org",
            "@*.example.org",
            "everything.yaml",
            "dave@a.b.example.org",
        ),
        (
            "Eve-Sales@example.com",
            "/^(?<name>[^@]+)-sales@example\\.com$/",
            "everything.yaml",
            "Eve",
        ),
        ("12345@x", "*", "everything.yaml", "12345@x"),
    ] {
        let (code, told) = explain(&[user, "--json", "--protocol", "pop3"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(code, 0);
        assert_eq!(told["entry"], entry, "{user}");
        assert_eq!(told["source"], source, "{user}");
        assert_eq!(told["login"], login, "{user}");
    }
    let (code, told) = explain(&["mallory@example.com"]);
    assert_eq!(code, 0);
    assert!(told.contains("account moved"), "{told}");
    fs::write(
        dir.join("few.yaml"),
        "listeners: [imap://127.0.0.1:1143]\nbackends: {b: imap://h}\nusers: {a@b: b}\n",
    )
    .unwrap();
    let got = gatepost(&dir, &["explain", "-c", "few.yaml", "nobody"]);
    assert_eq!(got.status.code(), Some(1));
    assert_eq!(gatepost(&dir, &["explain"]).status.code(), Some(2));
    assert_eq!(gatepost(&dir, &["nonsense"]).status.code(), Some(2));
    assert_eq!(gatepost(&dir, &["--help"]).status.code(), Some(0));
}

#[test]
fn explain_goes_by_the_listeners_where_no_map_is_asked() {
    let dir = data("config-explain-pinned");
    let explain = |listeners: &str, more: &str| {
        let backends = "backends: { b: imap://h, c: imap://i }";
        let settings = format!("{backends}\nlisteners:\n{listeners}{more}");
        fs::write(dir.join("pinned.yaml"), settings).unwrap();
        let got = gatepost(&dir, &["explain", "-c", "pinned.yaml", "joe", "--json"]);
        let told: serde_json::Value = serde_json::from_slice(&got.stdout).unwrap();
        let said = told["reasons"].to_string();
        (got.status.code().unwrap(), told, said)
    };
    let one = "  - { bind: 'imap://127.0.0.1:1', backend: b }\n";
    let same = "  - { bind: 'imap://127.0.0.1:2', backend: b }\n";
    let other = "  - { bind: 'imap://127.0.0.1:3', backend: c, name: three }\n";
    for more in ["", same] {
        let (code, told, said) = explain(one, more);
        assert_eq!(code, 0, "{told}");
        assert_eq!(told["entry"], "listener imap://127.0.0.1:1");
        assert_eq!(
            (&told["source"], &told["line"]),
            (&"pinned.yaml".into(), &3.into())
        );
        assert_eq!(
            (&told["login"], &told["backend"]),
            (&"joe".into(), &"b".into())
        );
        assert_eq!(told["host"], "h");
        assert!(
            !said.contains("but") && !said.contains("no entry"),
            "{said}"
        );
    }
    let (code, told, said) = explain(one, other);
    assert_eq!((code, &told["backend"]), (0, &serde_json::Value::Null));
    for listener in [
        "imap://127.0.0.1:1 sends everybody to b",
        "three sends everybody to c",
    ] {
        assert!(said.contains(listener), "{said}");
    }
    assert!(!said.contains("no entry"), "{said}");
    // The map decides for the other listeners.
    let by_map = "  - imap://127.0.0.1:4\nusers: { joe: c }\n";
    let (code, told, said) = explain(one, by_map);
    assert_eq!((code, &told["backend"]), (0, &"c".into()));
    assert!(
        said.contains("but the listener imap://127.0.0.1:1 sends"),
        "{said}"
    );
    let (code, _, said) = explain(one, &by_map.replace("joe", "jim"));
    assert_eq!(code, 1);
    assert!(said.contains("no entry matches"), "{said}");
}

/// A file that is exchanged while the settings are read: without its secret they would let anybody in, or
/// show users' own passwords where a master's belongs.
#[test]
fn a_secret_that_is_gone_when_it_is_wanted_is_a_problem() {
    use gatepost::config::Config;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;

    for (backend, settings) in [
        ("", "admin: { bind: 0.0.0.0:9090, token_file: FILE }"),
        (
            "",
            "users_from: [{ http: \"http://127.0.0.1:1\", headers: { X-Key: { file: FILE } } }]",
        ),
        (
            "",
            "state: { url: \"redis://127.0.0.1:6379/0\", password_file: FILE }",
        ),
        ("login_as: { master: gate, password_file: FILE }", ""),
        (
            "health: { login: { user: probe, password_file: FILE } }",
            "",
        ),
    ] {
        // What is in a pipe is there once: for the check.
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"secret-in-a-file\n").unwrap();
        drop(writer);
        let file = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let all = format!(
            "listeners: [imap://127.0.0.1:1143]\n\
             backends: {{ old: {{ hosts: [imap://10.0.0.5], {backend} }} }}\n\
             users: {{ \"*\": old }}\n{settings}\n"
        );
        let text = all.replace("FILE", &file);
        let read = Config::parse(Path::new("proxy.yaml"), &text, Path::new("/"), &|_| None);
        let told = read.map(drop).unwrap_err().to_string();
        assert!(told.contains("E041") && told.contains(&file), "{told}");
    }
}

/// Whoever is called like a number goes where the map says, and nobody else does.
#[test]
fn users_whose_names_look_like_numbers_are_told_apart() {
    use gatepost::config::Config;
    use gatepost::protocol::UserName;

    const NAMES: &str = "12e3 12000 0x1F 31 1.50 1.5 +491701234567 491701234567 .inf 1e400 \
                         12345678901234567890123 12345678901234567000000";
    let dir = data("config-numbers");
    let listed: String = NAMES.split(' ').map(|it| format!("{it}: own\n")).collect();
    let braces = format!("{{ {} }}\n", listed.trim_end().replace('\n', ", "));
    let indented = format!("users:\n  {}\n", listed.trim_end().replace('\n', "\n  "));
    let settings = "listeners: [imap://127.0.0.1:1143]\n\
                    backends: { own: imap://10.0.0.5, 1.50: imap://10.0.0.6 }\n";
    let from = "users_from: [{ file: numbers.txt }]\n";
    for (map, users) in [
        (&listed, from),
        (&braces, from),
        (&String::new(), indented.as_str()),
    ] {
        fs::write(dir.join("numbers.txt"), map).unwrap();
        fs::write(dir.join("numbers.yaml"), format!("{settings}{users}")).unwrap();
        let (config, _) = Config::load(&dir.join("numbers.yaml")).unwrap();
        let map = &config.routes.map;
        let finds = |name: &str| map.find(&UserName::new(name.as_bytes()).unwrap()).is_some();
        assert_eq!(map.len(), NAMES.split(' ').count());
        assert!(NAMES.split(' ').all(finds));
        for stranger in ["12E+3", "0x1f0", "1.500", "inf", "0x01F", "+31", "1e4000"] {
            assert!(!finds(stranger), "{stranger}");
        }
    }
    fs::write(dir.join("numbers.txt"), "a: 1.50\nb: 1.5\n").unwrap();
    fs::write(dir.join("numbers.yaml"), format!("{settings}{from}")).unwrap();
    let got = gatepost(&dir, &["check", "-c", "numbers.yaml"]);
    let told = text(&got.stderr);
    assert!(
        told.contains("error[E011]: no backend is named `1.5`"),
        "{told}"
    );
    assert!(
        told.contains("numbers.txt:2:4") && !told.contains("txt:1"),
        "{told}"
    );
}

/// A login that could go nowhere is a mistake, not a password that is wrong.
#[test]
fn a_map_without_an_entry_or_a_source_is_refused() {
    let dir = data("config-nobody");
    fs::write(dir.join("empty-map.txt"), "{}\n").unwrap();
    let check = |listener: &str, users: &str| {
        let backends = "backends: { b: imap://h }";
        let settings = format!("listeners: [{listener}]\n{backends}\n{users}\n");
        fs::write(dir.join("nobody.yaml"), settings).unwrap();
        let got = gatepost(&dir, &["check", "-c", "nobody.yaml"]);
        (got.status.code().unwrap(), text(&got.stderr))
    };
    let plain = "imap://127.0.0.1:1143";
    for (users, place) in [
        ("users: {}", "nobody.yaml:3:8\n"),
        ("users: {}\nusers_from: []", "nobody.yaml:3:8\n"),
        ("users_from: []", "nobody.yaml:3:13\n"),
    ] {
        let (code, told) = check(plain, users);
        assert_eq!(code, 2, "{told}");
        assert!(
            told.contains("error[E015]") && told.contains(place),
            "{told}"
        );
        assert!(told.ends_with("1 error, 1 warning\n"), "{told}");
    }
    let named = "{ bind: imap://127.0.0.1:1143, server_names: { a.example: b } }";
    let own = "{ bind: imap://127.0.0.1:1143, backend: b }";
    for (listener, users) in [
        (plain, "users: { a: b }"),
        (plain, "users: {}\nusers_from: [{ file: empty-map.txt }]"),
        (plain, "users_from: [{ http: http://l }]"),
        (named, "users: {}"),
        (own, "users: {}"),
        (own, ""),
    ] {
        let (code, told) = check(listener, users);
        assert_eq!(code, 0, "{listener} {users}\n{told}");
    }
}

/// The small form of `cargo bench --bench users_map`: what an entry takes does not depend on the
/// machine.
#[test]
fn many_users_take_little_memory_and_are_all_found() {
    use gatepost::config::Config;
    use gatepost::protocol::UserName;
    use std::fmt::Write as _;

    const ENTRIES: u32 = 100_000;
    let dir = data("config-many");
    let mut map = String::new();
    for n in 0..ENTRIES {
        let entry = match n % 10 {
            9 => "{ backend: old, login: \"{local}\" }",
            _ => "old",
        };
        writeln!(map, "user{n}@customer{}.example.org: {entry}", n % 97).unwrap();
    }
    fs::write(dir.join("many.yaml"), &map).unwrap();
    let settings = "listeners: [imap://127.0.0.1:1143]\nbackends: { old: imap://10.0.0.5 }\n\
                    users: { \"*\": old }\nusers_from: [{ file: many.yaml }]\n";
    fs::write(dir.join("many-users.yaml"), settings).unwrap();
    let (config, _) = Config::load(&dir.join("many-users.yaml")).unwrap();
    let map = &config.routes.map;
    assert_eq!(map.len(), ENTRIES as usize + 1);
    assert_eq!(map.destinations().count(), 2);
    // 32 octets of key, 16 of the entry, at most 14 of the index (5 a cell, three eighths taken at
    // least).
    let each = map.octets() / map.len();
    assert!(each <= 62, "{each} octets an entry");
    for n in 0..ENTRIES {
        let name = format!("USER{n}@Customer{}.example.org", n % 97);
        let user = UserName::new(name.as_bytes()).unwrap();
        let found = map.find(&user).unwrap();
        assert_eq!(found.entry().unwrap().place.line, n + 1);
    }
}
