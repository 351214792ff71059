//! Every series that is promised is exposed, and names from outside make no series without end.

use super::*;
use crate::protocol::{Code, Limit};

/// What is exposed after `act`, by lines without comments.
pub(crate) fn exposed(act: impl FnOnce()) -> Vec<String> {
    let recorder = recorder().unwrap();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        act();
    });
    let present = Arc::default();
    let text = Metrics { handle, present }.render();
    let series = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    series.map(str::to_owned).collect()
}

#[test]
fn every_promised_series_is_exposed() {
    let lines = exposed(|| {
        let listener = Listener::new("imaps://0.0.0.0:993");
        listener.connection();
        listener.accept_failed(AcceptError::Descriptors);
        let backend = Backend::new("old");
        let host = Host::new("old", "10.0.0.5");
        let live = (backend.session(Protocol::Imap), host.session());
        drop((backend.session(Protocol::Imap), host.session()));
        backend.connected(Duration::from_millis(20));
        host.down();
        let gateway = Gateway::new();
        gateway.login(Protocol::Imap, None, Some(Duration::from_millis(3)));
        let failure = Failure::NoRoute;
        gateway.login(Protocol::Pop3, Some(&failure), Some(Duration::from_secs(2)));
        gateway.login(Protocol::Pop3, Some(&Failure::PrivacyRequired), None);
        gateway.bytes(Protocol::Pop3, 10, 2000);
        gateway.refused(Refused::TlsHandshake);
        gateway.refused(Refused::limit(Limit::PerUser));
        gateway.refused(Refused::limit(Limit::MaxSessions));
        gateway.reload(Outcome::Failed);
        gateway.certificate_reload(Outcome::Taken);
        gateway.pop3(Pop3Action::Retr, 3);
        certificate_expiry("/etc/tls.crt", 1_900_000_000);
        std::mem::forget(live);
    });
    for want in [
        r#"gatepost_connections_total{listener="imaps://0.0.0.0:993"} 1"#,
        r#"gatepost_accept_errors_total{listener="imaps://0.0.0.0:993",error="descriptors"} 1"#,
        r#"gatepost_sessions{protocol="imap",backend="old"} 1"#,
        r#"gatepost_sessions{protocol="pop3",backend="old"} 0"#,
        r#"gatepost_logins_total{protocol="imap",result="ok"} 1"#,
        r#"gatepost_logins_total{protocol="pop3",result="AUTHENTICATIONFAILED"} 1"#,
        r#"gatepost_logins_total{protocol="pop3",result="SERVERBUG"} 0"#,
        r#"gatepost_login_seconds_bucket{protocol="imap",le="0.0025"} 0"#,
        r#"gatepost_login_seconds_bucket{protocol="imap",le="0.005"} 1"#,
        r#"gatepost_login_seconds_count{protocol="pop3"} 1"#,
        r#"gatepost_backend_connect_seconds_bucket{backend="old",le="0.025"} 1"#,
        r#"gatepost_host_up{backend="old",host="10.0.0.5"} 0"#,
        r#"gatepost_host_sessions{backend="old",host="10.0.0.5"} 1"#,
        r#"gatepost_host_logins_total{backend="old",host="10.0.0.5"} 2"#,
        r#"gatepost_last_reload_timestamp_seconds{result="ok"} 0"#,
        r#"gatepost_bytes_total{protocol="pop3",direction="in"} 10"#,
        r#"gatepost_bytes_total{protocol="pop3",direction="out"} 2000"#,
        r#"gatepost_refused_total{reason="tls_handshake"} 1"#,
        r#"gatepost_refused_total{reason="per_user"} 1"#,
        r#"gatepost_refused_total{reason="other"} 1"#,
        r#"gatepost_certificate_expiry_timestamp_seconds{name="/etc/tls.crt"} 1900000000"#,
        r#"gatepost_certificate_reloads_total{result="ok"} 1"#,
        r#"gatepost_reloads_total{result="failed"} 1"#,
        r#"gatepost_pop3_messages_total{action="retr"} 3"#,
        r#"gatepost_log_dropped_total 0"#,
    ] {
        assert!(
            lines.iter().any(|line| line == want),
            "{want} not in {lines:#?}"
        );
    }
    for start in [
        "gatepost_build_info{version=",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_cpu_seconds_total ",
        "process_start_time_seconds ",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(start)), "{start}");
    }
}

#[test]
fn a_name_server_makes_a_bounded_number_of_series() {
    let lines = exposed(|| {
        for n in 0..2000 {
            let host = Host::new("bounded", &format!("10.0.{}.{}", n / 250, n % 250));
            host.up();
            drop(host.session());
        }
    });
    let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!(of("gatepost_host_up{"), 1024);
    assert_eq!(of("gatepost_host_sessions{"), 1025);
    let other = r#"gatepost_host_logins_total{backend="bounded",host="other"} 976"#;
    assert!(lines.iter().any(|line| line == other));
}

#[test]
fn a_failures_code_has_its_series() {
    for code in Code::ALL {
        assert!(LOGIN_RESULTS.contains(&code.as_str()));
    }
    // Ours alone: no host's word for a login.
    let not_offered = Failure::UnsupportedMechanism { name: "APOP" };
    assert!(LOGIN_RESULTS.contains(&not_offered.code()));
    assert_eq!(LOGIN_RESULTS.len(), Code::ALL.len() + 2);
}
