//! Several sessions on one mailbox: what each is told, and when message numbers may change.

use super::client::Client;
use super::store;

#[tokio::test]
async fn numbers_stay_while_others_expunge() {
    let store = store();
    let (mut one, mut other) = (Client::inbox(&store).await, Client::inbox(&store).await);
    one.ask("STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(
        one.ask("EXPUNGE").await,
        ["* 1 EXPUNGE", "* 2 EXPUNGE", "OK expunged"]
    );
    let gone = "NO [EXPUNGEISSUED] some of the messages are gone";
    // FETCH, STORE and SEARCH by number must not change what numbers mean.
    assert_eq!(
        other.ask("FETCH 1:4 UID").await,
        ["* 2 FETCH (UID 2)", "* 4 FETCH (UID 4)", gone]
    );
    assert_eq!(other.ask("STORE 3 FLAGS ()").await, [gone]);
    assert_eq!(
        other.ask("SEARCH ALL").await,
        ["* SEARCH 2 4 5 6 7", "OK done"]
    );
    // A copy is made of all or none; then the numbers may change.
    assert_eq!(
        other.ask("COPY 1:2 Trash").await,
        ["* 1 EXPUNGE", "* 2 EXPUNGE", gone]
    );
    assert_eq!(
        other.ask("FETCH 1:2 UID").await,
        ["* 1 FETCH (UID 2)", "* 2 FETCH (UID 4)", "OK done"]
    );
    one.ask("UID STORE 7 +FLAGS (\\Deleted)").await;
    one.ask("UID EXPUNGE 1:*").await;
    // By UID they may change at the end.
    assert_eq!(
        other.ask("UID FETCH 6:7 FLAGS").await,
        [
            "* 4 FETCH (UID 6 FLAGS (\\Answered \\Seen))",
            "* 5 EXPUNGE",
            "OK done",
        ]
    );
    assert_eq!(
        other.ask("UID STORE 7 +FLAGS (\\Seen)").await,
        ["OK stored"]
    );
}

#[tokio::test]
async fn others_changes_are_told() {
    let store = store();
    let (mut one, mut other) = (Client::inbox(&store).await, Client::inbox(&store).await);
    one.ask("STORE 2 +FLAGS (\\Seen work)").await;
    let flags = "\\Answered \\Flagged \\Deleted \\Seen \\Draft work";
    assert_eq!(
        other.ask("NOOP").await,
        [
            format!("* FLAGS ({flags})").as_str(),
            &format!("* OK [PERMANENTFLAGS ({flags} \\*)] flags are kept"),
            "* 2 FETCH (UID 2 FLAGS (\\Seen work))",
            "OK done",
        ]
    );
    // Silence is about one's own changes only.
    one.ask("STORE 2 -FLAGS.SILENT (work)").await;
    assert_eq!(
        other.ask("STORE 2:3 +FLAGS.SILENT (\\Flagged)").await,
        ["* 2 FETCH (UID 2 FLAGS (\\Flagged \\Seen))", "OK stored"]
    );
    // A mailbox that is deleted under its reader is an empty one.
    one.ask("CREATE Work").await;
    one.ask("COPY 1 Work").await;
    other.ask("SELECT Work").await;
    one.ask("DELETE Work").await;
    assert_eq!(other.ask("NOOP").await, ["* 1 EXPUNGE", "OK done"]);
    assert!(other.ask("FETCH 1 FLAGS").await[0].starts_with("BAD"));
    assert_eq!(other.ask("FETCH 1:* FLAGS").await, ["OK done"]);
}

#[tokio::test]
async fn an_idling_client_is_told_at_once() {
    let store = store();
    let (mut one, mut idle) = (Client::inbox(&store).await, Client::inbox(&store).await);
    idle.send("t IDLE\r\n").await;
    assert_eq!(idle.line().await, "+ idling");
    one.ask("APPEND INBOX {1+}\r\nx").await;
    assert_eq!(idle.line().await, "* 8 EXISTS");
    idle.line().await;
    one.ask("STORE 8 +FLAGS (\\Deleted)").await;
    let told = idle.line().await;
    assert!(
        told.starts_with("* 8 FETCH (UID 8 FLAGS (\\Deleted"),
        "{told}"
    );
    one.ask("EXPUNGE").await;
    assert_eq!(idle.line().await, "* 8 EXPUNGE");
    idle.send("DONE\r\n").await;
    assert_eq!(idle.answer().await, ["OK IDLE done"]);
}

/// A client's idea of a mailbox: the UID behind each number, where it has been seen.
#[derive(Default)]
struct Model(Vec<Option<u32>>);

impl Model {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.trim_end_matches(')').parse::<usize>().unwrap();
        match words.as_slice() {
            ["*", count, "EXISTS"] => {
                assert!(number(count) >= self.0.len(), "EXISTS must not shrink");
                self.0.resize(number(count), None);
            }
            ["*", gone, "EXPUNGE"] => drop(self.0.remove(number(gone) - 1)),
            ["*", at, "FETCH", "(UID", uid, ..] => {
                let (known, uid) = (&mut self.0[number(at) - 1], number(uid) as u32);
                assert!(known.is_none_or(|known| known == uid), "{line}");
                *known = Some(uid);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn many_sessions_agree_about_their_mailbox() {
    let store = store();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut model = Model::default();
        let mut client = Client::new(&store).await;
        client.ask("LOGIN demo demo").await;
        let told = client.ask("SELECT INBOX").await;
        told.iter().for_each(|line| model.hear(line));
        clients.push((client, model));
    }
    let mut random = 1u32;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    for _ in 0..600 {
        let index = next(clients.len());
        let (client, model) = &mut clients[index];
        let count = model.0.len().max(1);
        let (at, uid) = (next(count) + 1, next(40) + 1);
        let command = match next(9) {
            0 | 1 => "APPEND INBOX {1+}\r\nx".to_owned(),
            2 => format!("STORE {at} +FLAGS (\\Deleted)"),
            3 => format!("UID STORE {uid}:* FLAGS.SILENT (\\Deleted)"),
            4 => "EXPUNGE".to_owned(),
            5 => format!("UID FETCH {uid}:* FLAGS"),
            6 => format!("MOVE {at} INBOX"),
            7 => format!("UID COPY {uid} INBOX"),
            _ => "FETCH 1:* UID".to_owned(),
        };
        let told = client.ask(&command).await;
        told.iter().for_each(|line| model.hear(line));
    }
    let mut views = Vec::new();
    for (client, model) in &mut clients {
        for command in ["NOOP", "FETCH 1:* UID"] {
            let told = client.ask(command).await;
            told.iter().for_each(|line| model.hear(line));
        }
        views.push(model.0.clone());
    }
    assert!(
        views
            .iter()
            .all(|view| *view == views[0] && !view.contains(&None))
    );
}
