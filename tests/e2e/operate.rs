//! The commands that ask the running gateway, and the running gateway: each does what it says.

use std::path::Path;

use crate::support::gateway::{Settings, cli};
use crate::support::imap::Way;
use crate::support::pki::Pki;
use crate::support::{Imap, Scratch};

/// Runs a command; gives what it said and how it ended.
fn run(config: &Path, args: &[&str]) -> (i32, String) {
    let output = cli(args, config);
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

#[test]
fn by_command_line() {
    let scratch = Scratch::new();
    let pki = Pki::new(&scratch);
    let gateway = Settings::new()
        .backend(
            "old",
            "{ hosts: [{ name: h1, imap: \"demo://\" }, { name: h2, imap: \"demo://\" }] }",
        )
        .backend("new", "demo://")
        .user("\"*\"", "old")
        .token("an-admin-token")
        .start(&scratch, &pki);
    let config = scratch.join("proxy.yaml");
    let says = |args: &[&str], code: i32, words: &[&str]| {
        let (ended, said) = run(&config, args);
        assert_eq!(ended, code, "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: {word:?} is not in\n{said}");
        }
        said
    };
    says(&["sessions"], 0, &["no sessions"]);
    let mut imap = Imap::plain(gateway.ports.imap);
    imap.login(Way::LoginQuoted, "demo", "demo").ok();
    says(&["sessions"], 0, &["USER", "demo", "1 session"]);
    says(
        &["sessions", "--json", "--protocol", "imap"],
        0,
        &["\"user\": \"demo\""],
    );
    says(&["sessions", "nobody"], 0, &["no sessions"]);
    says(&["backends"], 0, &["old", "h1", "h2", "up"]);

    says(&["drain", "h1"], 0, &["old/h1 is drained"]);
    says(&["backends"], 0, &["drain"]);
    says(&["undrain", "old/h1"], 0, &["old/h1 takes users again"]);
    let said = says(&["backends"], 0, &["up"]);
    assert!(!said.contains("drain"), "{said}");
    says(&["weight", "h2", "7"], 0, &["old/h2 has the weight 7"]);
    says(&["backends", "--json"], 0, &["\"weight\": 7"]);
    says(&["weight", "h2", "-1"], 2, &["'-1'", "<WEIGHT>"]);
    says(
        &["weight", "h2", "4294967296"],
        2,
        &["'4294967296'", "<WEIGHT>"],
    );
    says(&["drain", "h9"], 2, &["no backend has a host h9", "h1, h2"]);
    says(&["drain", "h2", "--after", "5m"], 0, &["old/h2 is drained"]);
    says(&["undrain", "h2"], 0, &[]);

    says(&["moves"], 0, &["nobody is moved"]);
    says(&["move", "demo", "new"], 0, &["demo is moved to new"]);
    says(&["moves"], 0, &["demo", "new"]);
    says(&["sessions"], 0, &["no sessions"]);
    let mut imap = Imap::plain(gateway.ports.imap);
    imap.login(Way::LoginQuoted, "demo", "demo").ok();
    says(&["sessions", "--backend", "new"], 0, &["1 session"]);
    says(&["unmove", "demo"], 0, &["demo goes where the map says"]);
    says(&["unmove", "demo"], 1, &["error: "]);
    says(&["move", "demo", "nwe"], 1, &["error: ", "nwe"]);
    let list = scratch.write(
        "list",
        "demo new\n# and one who was never here\nbob@example.org new\n",
    );
    says(
        &["move", "--file", list.to_str().unwrap()],
        0,
        &["2 users are moved"],
    );
    says(&["moves"], 0, &["bob@example.org"]);
    says(&["hold", "carol"], 0, &["logins of carol wait"]);
    says(&["moves"], 0, &["carol", "(held)"]);
    says(&["release", "carol"], 0, &["carol may log in"]);

    let mut imap = Imap::plain(gateway.ports.imap);
    imap.login(Way::LoginQuoted, "demo", "demo").ok();
    says(&["kick", "demo"], 0, &["1 session ended"]);
    says(&["kick", "nobody"], 1, &["there is no session of nobody"]);

    says(&["reload"], 0, &["reloaded, nothing changed"]);
    let text = std::fs::read_to_string(&config).unwrap();
    let broken = text.replace("new: demo://", "new: demo//");
    assert_ne!(text, broken);
    scratch.write("proxy.yaml", &broken);
    says(&["reload"], 1, &["error[E020]", "the old ones stay in use"]);
    says(&["backends"], 0, &["new"]);
    scratch.write(
        "proxy.yaml",
        text.replace("log: {", "pop3: { lock: true }\nlog: {"),
    );
    says(&["reload"], 0, &["reloaded"]);
}
