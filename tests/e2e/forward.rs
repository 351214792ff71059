//! Who the client is, as the host hears it: Dovecot's log has the real address and our session's id,
//! whichever way they were told.

use crate::support::gateway::Settings;
use crate::support::need::{DOVECOT, needs};
use crate::support::scratch::free_port;
use crate::support::stage::both;
use crate::support::wire::Conn;
use crate::support::{ALICE, Dovecot, Imap, Pop3, Stage};

/// Dovecot believes us, and has two ports that want a PROXY header. Behind one it goes by the client's
/// own address: of some it takes what a gateway tells besides.
fn trusting(imap: u16, pop3: u16) -> String {
    format!(
        "login_trusted_networks = 127.0.0.0/8 198.18.0.0/15
haproxy_trusted_networks = 127.0.0.0/8
imap_id_log = x-session-id
service imap-login {{
  inet_listener imap_proxied {{
    port = {imap}
    haproxy = yes
  }}
}}
service pop3-login {{
  inet_listener pop3_proxied {{
    port = {pop3}
    haproxy = yes
  }}
}}
"
    )
}

/// What a mode tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    AddressAndSession,
    Address,
    /// The address in the header; the session's id besides, which Dovecot takes for its own only of
    /// clients it trusts, and logs where `imap_id_log` wants it.
    AddressAndId,
    Nothing,
}

#[test]
fn each_mode_tells_what_it_can() {
    use Told::{Address, AddressAndId, AddressAndSession, Nothing};
    needs!(DOVECOT);
    // By IMAP, by POP3, and by IMAP for a POP3 client.
    let modes = [
        (
            "auto",
            AddressAndSession,
            AddressAndSession,
            AddressAndSession,
        ),
        ("id", AddressAndSession, Nothing, AddressAndSession),
        ("xclient", Nothing, AddressAndSession, Nothing),
        ("proxy-v1", AddressAndId, Address, AddressAndId),
        ("proxy-v2", AddressAndId, Address, AddressAndId),
        ("none", Nothing, Nothing, Nothing),
    ];
    let proxied: [u16; 2] = std::array::from_fn(|_| free_port());
    let ports: Vec<[u16; 3]> = modes
        .iter()
        .map(|_| std::array::from_fn(|_| free_port()))
        .collect();
    let mut stage = Stage::on(
        |scratch, pki| Dovecot::with(scratch, pki, &trusting(proxied[0], proxied[1])),
        |dovecot, _| {
            let mut settings = Settings::to(format!("imap://127.0.0.1:{}", dovecot.imap));
            for ((mode, ..), ports) in modes.iter().zip(&ports) {
                let [imap, pop3] = match mode.starts_with("proxy") {
                    true => proxied,
                    false => [dovecot.imap, dovecot.pop3],
                };
                let whole = both(imap, pop3);
                let only_imap = format!("{{ hosts: [\"imap://127.0.0.1:{imap}\"] }}");
                let backend =
                    |hosts: &str| hosts.replacen('{', &format!("{{ forward_client: {mode}, "), 1);
                settings = settings
                    .backend(mode, backend(&whole))
                    .backend(&format!("{mode}-imap"), backend(&only_imap));
                let schemes = [
                    ("imap", mode.to_string()),
                    ("pop3", mode.to_string()),
                    ("pop3", format!("{mode}-imap")),
                ];
                for ((scheme, backend), port) in schemes.iter().zip(ports) {
                    settings = settings.listener(&format!(
                        "{{ bind: \"{scheme}://127.0.0.1:{port}\", cleartext_login: true, \
                         proxy_protocol: [127.0.0.1/32], backend: {backend} }}"
                    ));
                }
            }
            settings
        },
    );
    stage
        .dovecot
        .deliver(ALICE.name, &[b"Subject: one\n\nhello\n".to_vec()]);
    // Where every client is one that Dovecot trusts, a PROXY header takes nothing away.
    let whole = AddressAndSession;
    let trusted = |mode: &&str| {
        mode.starts_with("proxy")
            .then_some(("198.18.0", [whole; 3]))
    };
    let plays = modes
        .iter()
        .zip(&ports)
        .flat_map(|((mode, imap, pop3, translated), ports)| {
            let told = [*imap, *pop3, *translated];
            let plays = [Some(("192.0.2", told)), trusted(mode)]
                .into_iter()
                .flatten();
            plays.map(move |(net, told)| (mode, ports, net, told))
        });
    for (n, (mode, ports, net, told)) in (1_u16..).zip(plays) {
        for (way, (told, port)) in (1_u16..).zip(told.into_iter().zip(ports)) {
            // An address of its own for each, so that its lines are found.
            let (client, at) = (format!("{net}.{}", 10 * n + way), 4000 + 10 * n + way);
            let mut conn = Conn::plain(*port);
            conn.send(format!("PROXY TCP4 {client} 198.51.100.9 {at} 143\r\n"));
            let (lines, protocol) = match way {
                1 => {
                    let mut imap = Imap::new(conn);
                    imap.login(
                        crate::support::imap::Way::LoginLiteral,
                        ALICE.name,
                        ALICE.password,
                    )
                    .ok();
                    imap.command("LOGOUT").ok();
                    ("imap-login: Info: Login:", "protocol=imap")
                }
                _ => {
                    let mut client = Pop3::new(conn);
                    client.ok(&format!("USER {}", ALICE.name));
                    client.ok(&format!("PASS {}", ALICE.password));
                    client.ok("QUIT");
                    match way {
                        2 => ("pop3-login: Info: Login:", "protocol=pop3"),
                        _ => ("imap-login: Info: Login:", "protocol=pop3"),
                    }
                }
            };
            let ours =
                stage
                    .gateway
                    .logged(&["event=login", protocol, &format!("client={client}:{at}")]);
            let session = ours
                .split(' ')
                .find_map(|field| field.strip_prefix("session="))
                .unwrap();
            let what = format!("{mode} {way}");
            let (rip, id) = (format!("rip={client},"), format!("session=<{session}>"));
            match told {
                AddressAndSession => drop(stage.dovecot.logged(&[lines, &rip, &id])),
                Address => {
                    let line = stage.dovecot.logged(&[lines, &rip]);
                    assert!(line.contains("lip=198.51.100.9"), "{what}: {line}");
                }
                AddressAndId => {
                    stage.dovecot.logged(&[lines, &rip, "lip=198.51.100.9"]);
                    let id = format!("x-session-id={session}");
                    stage.dovecot.logged(&["ID sent", &id, &rip]);
                }
                Nothing => {
                    let log = stage.dovecot.log();
                    assert!(!log.contains(&rip) && !log.contains(&id), "{what}: {log}");
                }
            }
        }
    }
}
