//! `authenticate:`, `login_as:`, `client_ca` and `proxy_protocol` in proxy.yaml: what is taken, and what
//! is refused with which code.

use std::path::{Path, PathBuf};

use gatepost::config::{Config, Problem, Problems};

/// A folder with the files that the settings name.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Files {
        let path = std::env::temp_dir().join(format!("gp-identity-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let bcrypt = "{BLF-CRYPT}$2y$05$QS25kUNq1IDcrkABuq4pfuA7KrAxNFxgmVKy74ew3kXGEauxRm4XG";
        let ca = rcgen::generate_simple_self_signed(["ca.example".into()]).unwrap();
        for (file, content) in [
            ("passwords", format!("alice:{bcrypt}\n")),
            ("plain", "alice:{PLAIN}hunter2\n".into()),
            ("master", "master's own\n".into()),
            ("ca.pem", ca.cert.pem()),
        ] {
            std::fs::write(path.join(file), content).unwrap();
        }
        Files(path)
    }

    fn parse(&self, text: &str) -> Result<(Config, Vec<Problem>), Problems> {
        Config::parse(Path::new("proxy.yaml"), text, &self.0, &|_| None)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn with(listener: &str, backend: &str, top: &str) -> String {
    format!(
        "listeners:\n  - {{ bind: \"imaps://127.0.0.1:1993\"{listener} }}\n\
         backends:\n  b: {{ hosts: [\"imap://h\"]{backend} }}\n  other: imap://o\n\
         users: {{ \"*\": b }}\n{top}\n"
    )
}

const MASTER: &str = ", login_as: { master: gateway, password: secret }";
const PASSWORDS: &str = "authenticate: { passwords: passwords }";
const CA: &str = ", client_ca: ca.pem";

#[test]
fn a_master_login_as_meant() {
    let files = Files::new("meant");
    for (login_as, want) in [
        ("{ master: gateway, password: secret }", "{user}*{master}"),
        (
            "{ master: gateway, password_file: master }",
            "{user}*{master}",
        ),
        (
            "{ master: gateway, password_file: master, format: \"{master}/{user}\" }",
            "{master}/{user}",
        ),
    ] {
        let text = with("", &format!(", login_as: {login_as}"), PASSWORDS);
        let (config, _) = files.parse(&text).unwrap_or_else(|it| panic!("{:?}", it.0));
        let master = config.backends["b"].login_as.as_ref().unwrap();
        assert_eq!(master.name, "gateway");
        assert_eq!(master.format.to_string(), want);
        assert!(config.backends["other"].login_as.is_none());
        assert!(!format!("{config:?}").contains("secret"));
        let passwords = config.authenticate.unwrap().passwords;
        assert_eq!(passwords, files.0.join("passwords"));
    }
}

#[test]
fn networks_and_authorities_of_a_listener() {
    let files = Files::new("listener");
    let text = with(
        &format!("{CA}, proxy_protocol: [10.0.0.0/8, \"fd00::/8\"]"),
        MASTER,
        PASSWORDS,
    );
    let (config, _) = files.parse(&text).unwrap_or_else(|it| panic!("{:?}", it.0));
    let listener = &config.listeners[0];
    assert_eq!(listener.client_ca, Some(files.0.join("ca.pem")));
    for (sender, want) in [
        ("10.9.8.7", true),
        ("fd00::1", true),
        ("192.0.2.1", false),
        ("::1", false),
    ] {
        assert_eq!(
            listener.owes_header(sender.parse().unwrap()),
            want,
            "{sender}"
        );
    }
}

#[test]
fn backends_by_server_name() {
    let files = Files::new("names");
    let names = ", server_names: { imap.Old.example: other, \"*.example\": b }";
    let (config, _) = files.parse(&with(names, "", "")).unwrap();
    let want = [("imap.old.example", "other"), ("*.example", "b")];
    let want = want.map(|(name, backend)| (name.to_owned(), backend.to_owned()));
    assert_eq!(config.listeners[0].server_names, want);
}

#[test]
fn what_is_refused_and_by_which_code() {
    let files = Files::new("refused");
    for (listener, backend, top, want) in [
        // A master login that would let anyone in.
        ("", MASTER, "", &["E053"][..]),
        ("", ", login_as: { master: gateway }", PASSWORDS, &["E012"]),
        ("", ", login_as: { password: secret }", PASSWORDS, &["E012"]),
        (
            "",
            ", login_as: { master: gateway, password: secret, password_file: master }",
            PASSWORDS,
            &["E016"],
        ),
        (
            "",
            ", login_as: { master: gateway, password: secret, format: \"{user}{master}\" }",
            PASSWORDS,
            &["E028"],
        ),
        (
            "",
            ", login_as: { master: gateway, password: secret, format: \"{name}*{master}\" }",
            PASSWORDS,
            &["E028"],
        ),
        ("", ", login_as: { oauth2: {} }", PASSWORDS, &["E060"]),
        ("", MASTER, "authenticate: {}", &["E012"]),
        ("", MASTER, "authenticate: passwords", &["E013"]),
        ("", "", "authenticate: { passwords: nowhere }", &["E040"]),
        ("", "", "authenticate: { passwords: plain }", &["E041"]),
        ("", "", "authenticate: { password: passwords }", &["E010"]),
        // A certificate that could log in nowhere.
        (CA, "", PASSWORDS, &["E054"]),
        (
            ", client_ca: ca.pem, backend: other",
            MASTER,
            PASSWORDS,
            &["E054"],
        ),
        (", client_ca: nowhere", MASTER, PASSWORDS, &["E040"]),
        (", proxy_protocol: [10.0.0.0/33]", "", "", &["E024"]),
        // Servers that clients ask for.
        (", server_names: { a.example: nowhere }", "", "", &["E011"]),
        (", server_names: { a_b.example.: other }", "", "", &["E032"]),
        (", server_names: { \"*\": other }", "", "", &["E032"]),
        (", server_names: { 192.0.2.1: other }", "", "", &["E032"]),
        (
            ", server_names: { a.example: other, A.example: other }",
            "",
            "",
            &["E051"],
        ),
        (
            ", backend: other, server_names: { a.example: other }",
            "",
            "",
            &["E016"],
        ),
        (", server_names: [a.example]", "", "", &["E013"]),
    ] {
        let text = with(listener, backend, top);
        let problems = match files.parse(&text) {
            Ok((_, warnings)) => warnings,
            Err(problems) => problems.0,
        };
        let errors = problems.iter().map(|problem| problem.code.as_str());
        let errors: Vec<_> = errors.filter(|code| code.starts_with('E')).collect();
        assert_eq!(errors, want, "{text}");
        assert!(!format!("{problems:?}").contains("hunter2"), "{text}");
    }
}
