//! Moves of users with sessions and without, on a state in memory.

use super::*;
use crate::protocol::UserName;
use crate::state::{Claim, Claimed, Pass, Place};

fn wish(name: &str, to: Option<&str>) -> Wish {
    let user = UserName::new(name.as_bytes()).unwrap();
    Wish {
        owner: Owner::new("old", &user),
        user: name.into(),
        to: to.map(|backend| (backend.to_owned(), None)),
    }
}

fn pass(name: &str) -> Pass {
    Pass::plain("old", &UserName::new(name.as_bytes()).unwrap())
}

fn place() -> Place {
    Place::new("old", "h")
}

/// A user's session until this is dropped.
async fn session(state: &Arc<State>, name: &str) -> Claim {
    match state.claim(&pass(name), &place()).await {
        Claimed::Here(claim) => claim,
        _ => panic!("not granted"),
    }
}

#[tokio::test(start_paused = true)]
async fn users_are_moved_when_their_sessions_have_left() {
    let state = State::memory();
    let claim = session(&state, "alice").await;
    let (ask, asked) = std::sync::mpsc::channel();
    let how = move || {
        let _ = ask.send(());
    };
    claim.on_leave(Arc::new(how));
    let job = state.move_users(vec![
        wish("alice", Some("new")),
        wish("bob", Some("older")),
        wish("bob", Some("new")),
    ]);
    sleep(Duration::from_secs(1)).await;
    asked.try_recv().unwrap();
    assert_eq!((job.total, job.moved(), job.is_finished()), (2, 1, false));
    assert!(
        state
            .orders()
            .held(&pass("alice").owner, &pass("alice").named)
    );
    assert!(matches!(
        state.claim(&pass("alice"), &place()).await,
        Claimed::Changed | Claimed::At(_)
    ));
    drop(claim);
    job.finished().await;
    assert_eq!((job.moved(), job.failed()), (2, vec![]));
    for name in ["alice", "bob"] {
        let pass = pass(name);
        let orders = state.orders();
        assert!(!orders.held(&pass.owner, &pass.named));
        assert_eq!(
            orders.moved(&pass.owner, &pass.named).unwrap().1.backend,
            "new"
        );
    }
    let back = state.move_users(vec![wish("alice", None), wish("bob", Some("new"))]);
    back.finished().await;
    assert_eq!(back.moved(), 2);
    assert_eq!(state.orders().moves().len(), 1);
    assert_eq!(state.jobs().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_leave_stays_and_may_log_in() {
    let state = State::memory();
    let claim = session(&state, "alice").await;
    let many = (0..2500).map(|n| wish(&format!("user{n}"), Some("new")));
    let job = state.move_users(
        [wish("alice", Some("new"))]
            .into_iter()
            .chain(many)
            .collect(),
    );
    job.finished().await;
    assert_eq!((job.total, job.moved()), (2501, 2500));
    assert_eq!(job.failed()[0].0, "alice");
    let pass = pass("alice");
    assert!(!state.orders().held(&pass.owner, &pass.named));
    assert!(state.orders().moved(&pass.owner, &pass.named).is_none());
    drop(claim);
    session(&state, "alice").await;
}

#[tokio::test(start_paused = true)]
async fn of_two_moves_of_a_user_the_last_one_counts() {
    let state = State::memory();
    let alice = session(&state, "alice").await;
    let one = state.move_users(vec![wish("alice", Some("b"))]);
    sleep(Duration::from_millis(500)).await;
    let two = state.move_users(vec![wish("alice", Some("c"))]);
    sleep(Duration::from_secs(4)).await;
    drop(alice);
    one.finished().await;
    two.finished().await;
    assert_eq!((one.moved(), two.moved()), (0, 1));
    assert_eq!(one.failed(), [("alice".to_owned(), OVERTAKEN.to_owned())]);
    let (pass, orders) = (pass("alice"), state.orders());
    assert!(!orders.held(&pass.owner, &pass.named));
    let (_, moved) = orders.moved(&pass.owner, &pass.named).unwrap();
    assert_eq!(moved.backend, "c");
}

/// The map leads her elsewhere by now, so that her name alone tells which move is hers.
#[tokio::test(start_paused = true)]
async fn who_is_moved_back_by_name_waits_too() {
    let state = State::memory();
    let job = state.move_users(vec![wish("alice", Some("spare"))]);
    job.finished().await;
    let mut pass = Pass::plain("new", &UserName::new(b"alice").unwrap());
    let held = |pass: &Pass| state.orders().held(&pass.owner, &pass.named);
    let version = |pass: &Pass| {
        let orders = state.orders();
        let moved = orders.moved(&pass.owner, &pass.named);
        moved.map_or(0, |(_, moved)| moved.version)
    };
    pass.moved = version(&pass);
    assert_ne!(pass.moved, 0);
    let Claimed::Here(stays) = state.claim(&pass, &place()).await else {
        panic!("not granted");
    };
    let back = state.move_users(vec![wish("alice", None)]);
    sleep(Duration::from_secs(1)).await;
    assert!(held(&pass));
    assert!(!matches!(
        state.claim(&pass, &place()).await,
        Claimed::Here(_)
    ));
    drop(stays);
    back.finished().await;
    assert_eq!((back.moved(), held(&pass)), (1, false));
    pass.moved = version(&pass);
    assert_eq!(pass.moved, 0);
    assert!(matches!(
        state.claim(&pass, &place()).await,
        Claimed::Here(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_mover_held_is_let_in_by_the_next() {
    let state = State::memory();
    let pass = pass("alice");
    let hold = crate::state::Hold {
        user: "alice".into(),
        since: now(),
        until: Some(now() + 100),
        of: Some(1),
    };
    let hold = Change::Hold(pass.owner.clone(), hold);
    state.order(vec![hold]).await.unwrap();
    let again = state.move_users(vec![wish("alice", Some("new"))]);
    again.finished().await;
    assert_eq!(again.moved(), 1);
    assert!(!state.orders().held(&pass.owner, &pass.named));
}

#[tokio::test(start_paused = true)]
async fn who_takes_long_to_leave_does_not_wait_for_the_end_of_the_list() {
    let state = State::memory();
    let mut leave = Vec::new();
    let mut wishes = Vec::new();
    // A part has one that stays, but the first: that one leaves after three seconds.
    for part in 0..30 {
        let name = format!("slow{part}");
        leave.push(Some(session(&state, &name).await));
        wishes.push(wish(&name, Some("new")));
        let others = (1..PART).map(|n| wish(&format!("user{part}.{n}"), Some("new")));
        wishes.extend(others);
    }
    let moved = |name: &str| {
        let pass = pass(name);
        let orders = state.orders();
        let moved = orders.moved(&pass.owner, &pass.named).is_some();
        (moved, orders.held(&pass.owner, &pass.named))
    };
    let job = state.move_users(wishes);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(moved("slow0"), (false, true));
    leave[0] = None;
    sleep(PART_WAIT + Duration::from_millis(500)).await;
    assert_eq!(moved("slow0"), (true, false));
    // Who stays is let in after its time, and not when the list has ended.
    sleep(LEAVE_WAIT).await;
    assert_eq!(moved("slow1"), (false, false));
    assert!(!job.is_finished());
    leave.clear();
    job.finished().await;
    assert_eq!(job.moved() + job.failed().len(), job.total);
    assert!(job.failed().iter().any(|(user, _)| user == "slow1"));
}
