//! Settings that have no effect, another than they seem to have, or more than the system gives.

use std::fs;
use std::process::Command;

use super::settings::{PLAIN, check, data, secured, told, with};

/// Settings that would do nothing, or the opposite of what they say.
#[test]
fn what_has_no_effect_is_told() {
    let dir = data("start-effect");
    let listener = |more: &str| {
        let map = format!("{{ bind: {more} }}");
        with(PLAIN, "").replace("imap://127.0.0.1:1143", &map)
    };
    for (settings, code) in [
        (
            with(&secured("ca: a.crt, name: a.test"), "")
                .replace("imaps://10.0.0.5], tls: ", "imap://10.0.0.5], tls: «"),
            "warning[W005]",
        ),
        (listener("imap://127.0.0.1:1, allow: «[]»"), "error[E015]"),
        (
            listener("imaps://127.0.0.1:1, cleartext_login: «true»"),
            "error[E016]",
        ),
        (
            listener("pop3s://127.0.0.1:1, cleartext_login: «true»"),
            "error[E016]",
        ),
        (
            with(PLAIN, "limits: { failed_logins: { per_user: «0/10m» } }"),
            "error[E023]",
        ),
        (
            with(PLAIN, "limits: { failed_logins: { per_ip: «0/10m» } }"),
            "error[E023]",
        ),
    ] {
        let told = told(&dir, &settings, code, "");
        assert!(!told.contains("W001"), "{told}");
    }
    let (fine, told) = check(&dir, &with(&secured("ca: a.crt"), ""));
    assert!(
        fine && told.contains("W001") && !told.contains("W005"),
        "{told}"
    );
    // Who knows a host by its key is not fooled on the way.
    let pins = format!("pins: [\"sha256/{}=\"]", "A".repeat(43));
    let (fine, told) = check(&dir, &with(&secured(&pins), ""));
    assert!(fine && told.contains("W001"), "{told}");
    assert!(
        told.contains("by `pins` alone") && !told.contains("anybody on the way"),
        "{told}"
    );
    for taken in [
        "imap://127.0.0.1:1, cleartext_login: true",
        "imaps://127.0.0.1:1, cleartext_login: false",
    ] {
        let (fine, told) = check(&dir, &listener(taken));
        assert!(fine, "{told}");
    }
}

/// nginx adds what begins TLS to its list; here the list is taken as it is.
#[test]
fn a_list_of_capabilities_by_which_few_could_log_in_is_told() {
    let dir = data("start-capabilities");
    let listener = |more: &str| {
        let map = format!("{{ bind: {more} }}");
        with(PLAIN, "users_from: [{ http: http://l }]").replace("imap://127.0.0.1:1143", &map)
    };
    for (wanting, code, said) in [
        (
            "imap://127.0.0.1:1, capabilities: «[IMAP4rev1, UIDPLUS]»",
            "warning[W008]",
            "no STARTTLS among the capabilities",
        ),
        (
            "imap://127.0.0.1:1, cleartext_login: false, capabilities: «[IMAP4rev1, AUTH=PLAIN]»",
            "warning[W008]",
            "no STARTTLS among the capabilities",
        ),
        (
            "pop3://127.0.0.1:1, capabilities: «[TOP, UIDL, USER]»",
            "warning[W008]",
            "no STLS among the capabilities",
        ),
        (
            "pop3://127.0.0.1:1, capabilities: «[TOP, STARTTLS]»",
            "warning[W008]",
            "no STLS among the capabilities",
        ),
        (
            "imaps://127.0.0.1:1, capabilities: [IMAP4rev1, «auth=External»]",
            "error[E034]",
            "`auth=External` cannot be promised here",
        ),
        (
            "pop3s://127.0.0.1:1, capabilities: [TOP, «SASL PLAIN EXTERNAL»]",
            "error[E034]",
            "`SASL PLAIN EXTERNAL` cannot be promised here",
        ),
    ] {
        told(&dir, &listener(wanting), code, said);
    }
    for taken in [
        "imap://127.0.0.1:1, capabilities: [IMAP4rev1, starttls]",
        "imap://127.0.0.1:1, cleartext_login: true, capabilities: [IMAP4rev1]",
        "imaps://127.0.0.1:1, capabilities: [IMAP4rev1]",
        "imaps://127.0.0.1:1, client_ca: a.crt, capabilities: [IMAP4rev1, AUTH=EXTERNAL]",
        "pop3://127.0.0.1:1, capabilities: [TOP, STLS]",
        "pop3s://127.0.0.1:1, client_ca: a.crt, capabilities: [SASL PLAIN EXTERNAL]",
    ] {
        let (fine, told) = check(&dir, &listener(taken));
        assert!(fine && !told.contains("W008"), "{taken}\n{told}");
    }
}

/// Descriptors run out first then, and the oldest connection without a login does not make room.
#[test]
fn more_connections_than_open_files_allow_are_warned_of() {
    let dir = data("start-files");
    let check = |connections: &str| {
        let limits = format!("limits: {{ connections: {connections} }}");
        fs::write(dir.join("proxy.yaml"), with(PLAIN, &limits)).unwrap();
        let script = format!(
            "ulimit -n 1024 && exec {} check",
            env!("CARGO_BIN_EXE_gatepost")
        );
        let mut command = Command::new("sh");
        let command = command.args(["-c", &script]).current_dir(&dir);
        let output = command.env_remove("GATEPOST_CONFIG").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    };
    let said = check("385");
    for part in [
        "warning[W006]",
        "proxy.yaml:4:24\n",
        "is enough for 384",
        "`LimitNOFILE=1026`",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    assert!(!check("384").contains("W006"));
    let said = check("10000000");
    assert!(said.contains("LimitNOFILE=20000256"), "{said}");
}

#[test]
fn tls_without_a_certificate_is_warned_of() {
    let dir = data("start-warned");
    for tls in [
        "min_version: TLSv1.3",
        "certificates: []",
        "ticket_key_file: long",
    ] {
        let (fine, told) = check(&dir, &with(PLAIN, &format!("tls: {{ {tls} }}")));
        assert!(fine && told.contains("warning[W002]"), "{tls}: {told}");
        assert!(told.contains("proxy.yaml:4:6\n"), "{tls}: {told}");
    }
    let (fine, told) = check(&dir, &with(PLAIN, "tls: { cert: a.crt, key: a.key }"));
    assert!(fine && !told.contains("W002"), "{told}");
}
