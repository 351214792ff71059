//! A long map is read anew while users log in: none of them waits for it.

use std::fmt::Write as _;

use super::*;
use crate::support::Scratch;
use crate::support::pki::Pki;

fn write_map(path: &std::path::Path, entries: u32, to: &str) {
    let mut text = String::with_capacity(entries as usize * 40);
    for n in 0..entries {
        writeln!(text, "user.number{n}@customer{}.example.org: {to}", n % 977).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

/// The longest of these, and how many there were.
fn slowest(logins: &Mutex<Vec<Duration>>) -> (usize, Duration) {
    let logins = std::mem::take(&mut *logins.lock().unwrap());
    (logins.len(), logins.into_iter().max().unwrap_or_default())
}

/// Tells those who wait for it that a test is over, also when it fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn logins_go_on_while_a_long_map_is_read() {
    let entries = if full() { 1_000_000 } else { 30_000 };
    let (scratch, site) = (Scratch::new(), Site::new(2));
    let map = scratch.join("users.yaml");
    write_map(&map, entries, "old");
    let settings = site
        .settings("memory")
        .top("users_from: [{ file: users.yaml }]");
    let gateway = settings.start(&scratch, &Pki::new(&scratch));
    let imap = gateway.ports.imap;
    let user = "user.number7@customer7.example.org";
    drop(Client::logged_in(imap, user));
    assert_eq!(site.census.logins.load(Ordering::Relaxed), 1);
    let done = AtomicBool::new(false);
    let took = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let _over = Over(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                drop(Client::logged_in(imap, "other"));
                took.lock().unwrap().push(begun.elapsed());
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        std::thread::sleep(Duration::from_millis(if full() { 5000 } else { 500 }));
        let calm = slowest(&took);
        write_map(&map, entries, "new");
        let begun = Instant::now();
        // The watch may have been first: then there is nothing to do any more.
        let (status, answer) = gateway.reload();
        let reload = begun.elapsed();
        let during = slowest(&took);
        assert_eq!(status, 200, "{answer}");
        println!(
            "{entries} entries read anew in {reload:?}: {} logins meanwhile, the slowest {:?}; before, the slowest of {} was {:?}",
            during.0, during.1, calm.0, calm.1
        );
        // A short map is read between two logins; the long one takes seconds.
        assert!(!full() || during.0 > 0 && during.1 < reload);
    });
    drop(Client::logged_in(imap, user));
    let goes_to = get(gateway.ports.admin, &format!("/api/v1/route?user={user}"));
    assert_eq!(goes_to["backend"], "new");
}
