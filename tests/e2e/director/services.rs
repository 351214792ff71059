//! Who decides changes its mind while sessions live: a lookup service names another server, a map another
//! backend. Whoever logs in next sends the old sessions away first.

use super::*;
use crate::support::Scratch;
use crate::support::lookup::{Question, Service, lines};
use crate::support::pki::Pki;
use crate::support::users::ANYBODYS;

#[test]
fn a_user_whom_a_service_moves_is_on_one_host() {
    /// Of IMAP, before and after, and of POP3.
    static PORTS: Mutex<[u16; 3]> = Mutex::new([0; 3]);
    static MOVED: AtomicBool = AtomicBool::new(false);
    fn answer(question: &Question) -> Vec<u8> {
        let ports = *PORTS.lock().unwrap();
        let port = match question.get("Auth-Protocol").as_deref() {
            Some("imap") => ports[usize::from(MOVED.load(Ordering::Relaxed))],
            _ => ports[2],
        };
        lines(&format!(
            "Auth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: {port}\r\n"
        ))
    }
    let (scratch, site) = (Scratch::new(), Site::new(2));
    let pop3 = crate::support::scripted::pop3_verdict("+OK in");
    *PORTS.lock().unwrap() = [site.hosts[0].port, site.hosts[1].port, pop3];
    let service = Service::start(answer);
    let gateway = Settings::new()
        .backend("rest", "imap://127.0.0.1:1")
        .user("\"*\"", "rest")
        .top(&service.source())
        .start(&scratch, &Pki::new(&scratch));
    let imap = gateway.ports.imap;
    let mut old = Client::logged_in(imap, "alice");
    // Another server for another protocol is no other host of the user.
    let mut mail = crate::support::Pop3::plain(gateway.ports.pop3);
    let way = crate::support::pop3::Way::UserPass;
    assert!(mail.login(way, "alice", ANYBODYS).starts_with("+OK"));
    assert!(old.command("NOOP").starts_with("a OK"));
    MOVED.store(true, Ordering::Relaxed);
    let new = Client::logged_in(imap, "alice");
    assert_eq!(site.census.of("alice"), [1]);
    assert!(old.rest().contains("* BYE"));
    drop(new);
    assert_eq!(*site.census.torn.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_user_whom_the_map_moves_is_on_one_host() {
    let (scratch, site) = (Scratch::new(), Site::new(2));
    let pki = Pki::new(&scratch);
    let map = |to: &str| site.settings("memory").user("alice@example.org", to);
    let gateway = map("old").start(&scratch, &pki);
    let imap = gateway.ports.imap;
    let (old, bob) = (
        Client::logged_in(imap, "alice@example.org"),
        Client::logged_in(imap, "bob"),
    );
    std::fs::write(&gateway.config, map("new").yaml(&gateway.ports, &pki)).unwrap();
    assert_eq!(gateway.reload().0, 200);
    let new = Client::logged_in(imap, "alice@example.org");
    assert_eq!(site.census.of("alice@example.org"), [1]);
    assert!(old.rest().contains("* BYE"));
    // And back by an operator, whose word counts for all of its sessions.
    let back = json!({"user": "alice@example.org", "backend": "old"});
    assert_eq!(
        ask(gateway.ports.admin, "POST", "/api/v1/move", &back).0,
        200
    );
    assert!(new.rest().contains("* BYE"));
    drop((Client::logged_in(imap, "alice@example.org"), bob));
    assert_eq!(*site.census.torn.lock().unwrap(), Vec::<String>::new());
}
