//! What is known from one look to the next, over reloads of the backend.

use std::sync::Arc;

use super::super::tests::{Scripted, following, imap, names, next};
use crate::backend::{Backend, Config, Surroundings};
use crate::protocol::Failure;

/// The backend under other settings, which follow the same name.
fn reloaded(before: &Arc<Backend>, lookup: &Arc<Scripted>, max_sessions: u32) -> Arc<Backend> {
    let config = Config {
        max_sessions,
        ..before.config.clone()
    };
    let around = Surroundings::default();
    let after = Backend::succeeding(&config, &around, Some(before)).unwrap();
    assert!(!Arc::ptr_eq(&after, before));
    after.start_asking(lookup.clone());
    before.stop();
    after
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_was_told_outlives_a_reload() {
    let lookup = Arc::new(Scripted::default());
    lookup.says(Ok(&[(0, 1, 143, "a"), (0, 1, 143, "b")]));
    let backend = following(&lookup, imap());
    next().await;
    lookup.says(Ok(&[(0, 1, 143, "a"), (0, 0, 143, "b")]));
    next().await;
    assert_eq!(names(&backend), "a*1 b*0");
    let backend = reloaded(&backend, &lookup, 7);
    assert_eq!(names(&backend), "a*1 b*0");
    next().await;
    assert_eq!(names(&backend), "a*1 b*0");
    lookup.says(Ok(&[(0, 1, 143, "a"), (0, 1, 143, "b")]));
    next().await;
    assert_eq!(names(&backend), "a*1 b*1");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_left_is_the_same_over_reloads() {
    let lookup = Arc::new(Scripted::default());
    let all: &[_] = &[
        (0, 1, 143, "a"),
        (0, 1, 143, "before"),
        (0, 1, 143, "between"),
        (0, 1, 143, "behind"),
    ];
    lookup.says(Ok(all));
    let backend = following(&lookup, imap());
    next().await;
    let sessions: Vec<_> = ["before", "between", "behind"]
        .map(|name| {
            let mut seat = backend.host(name).unwrap().sit().unwrap();
            seat.settle().unwrap();
            seat
        })
        .into_iter()
        .collect();
    lookup.says(Ok(&[all[0], all[2], all[3]]));
    next().await;
    let backend = reloaded(&backend, &lookup, 1);
    lookup.says(Ok(&[all[0], all[3]]));
    next().await;
    let backend = reloaded(&backend, &lookup, 2);
    let backend = reloaded(&backend, &lookup, 1);
    lookup.says(Ok(&[all[0]]));
    next().await;
    assert_eq!(names(&backend), "a*1");
    lookup.says(Ok(all));
    next().await;
    let returned = || ["before", "between", "behind"].map(|name| backend.host(name).unwrap());
    for host in returned() {
        assert_eq!(host.sessions(), 1, "{}", host.name());
        let full = host.sit().map(drop);
        assert!(matches!(full, Err(Failure::TooMany { .. })));
    }
    drop(sessions);
    assert_eq!(returned().map(|host| host.sessions()), [0; 3]);
}

#[tokio::test(start_paused = true)]
async fn addresses_take_the_place_of_no_records_after_a_reload_either() {
    let lookup = Arc::new(Scripted::default());
    lookup.says(Ok(&[(0, 1, 143, "a"), (0, 1, 143, "b")]));
    lookup.has(&["192.0.2.1"]);
    let backend = following(&lookup, imap());
    next().await;
    lookup.says(Ok(&[]));
    let backend = reloaded(&backend, &lookup, 7);
    next().await;
    assert_eq!(names(&backend), "a*1 b*1");
}

/// Nothing is taken from the settings that go on.
#[tokio::test(start_paused = true)]
async fn settings_that_are_refused_change_nothing_of_it() {
    let lookup = Arc::new(Scripted::default());
    lookup.says(Ok(&[(0, 1, 143, "a"), (0, 1, 143, "b")]));
    lookup.has(&["192.0.2.1"]);
    let backend = following(&lookup, imap());
    next().await;
    let b = backend.host("b").unwrap();
    let _session = b.sit().unwrap();
    lookup.says(Ok(&[(0, 1, 143, "a")]));
    next().await;
    let other = Config {
        max_sessions: 7,
        ..backend.config.clone()
    };
    let refused = Backend::succeeding(&other, &Surroundings::default(), Some(&backend));
    drop(refused.unwrap());
    lookup.says(Ok(&[]));
    next().await;
    assert_eq!(names(&backend), "a*1");
    lookup.says(Ok(&[(0, 1, 143, "a"), (0, 1, 143, "b")]));
    next().await;
    assert!(Arc::ptr_eq(&b, &backend.host("b").unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_and_goes_is_remembered_once() {
    let lookup = Arc::new(Scripted::default());
    let both: &[_] = &[(0, 1, 143, "a"), (0, 1, 143, "b")];
    lookup.says(Ok(both));
    let backend = following(&lookup, imap());
    next().await;
    let session = backend.host("b").unwrap().sit().unwrap();
    for _ in 0..9 {
        lookup.says(Ok(&both[..1]));
        next().await;
        assert_eq!(backend.following().left.len(), 1);
        lookup.says(Ok(both));
        next().await;
        assert_eq!(backend.following().left.len(), 0);
    }
    drop(session);
    lookup.says(Ok(&both[..1]));
    next().await;
    next().await;
    assert_eq!(backend.following().left.len(), 0);
    assert_eq!(backend.following().weights.len(), 1);
}
