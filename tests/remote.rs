//! The commands that ask the running gateway, against an admin port that plays a script: what they ask,
//! what they print, how they end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use absent::Absent;
use port::*;
use serde_json::{Value, json};

#[path = "support/absent.rs"]
mod absent;
#[path = "remote/port.rs"]
mod port;

/// A command; the answers it gets; the requests it makes, with their bodies; what it prints; its exit code.
struct Case {
    args: &'static [&'static str],
    input: &'static str,
    answers: Vec<(u16, Value)>,
    says: &'static str,
    code: i32,
}

fn case(args: &'static [&'static str], answers: Vec<(u16, Value)>) -> Case {
    Case {
        args,
        input: "",
        answers,
        says: "",
        code: 0,
    }
}

#[test]
fn every_command_asks_says_and_ends_as_it_should() {
    let null = Value::Null;
    let moved = |user: &str| json!({"user": user, "backend": "new"});
    let cases: Vec<(Case, Vec<(&str, Value)>)> = vec![
        (
            Case {
                says: "no sessions\n",
                ..case(&["sessions"], vec![(200, json!({"sessions": []}))])
            },
            vec![("GET /api/v1/sessions", null.clone())],
        ),
        (
            Case {
                says: "{\n  \"sessions\": []\n}\n",
                ..case(
                    &[
                        "sessions",
                        "a+b@x",
                        "--protocol",
                        "pop3",
                        "--ip",
                        "::1",
                        "--backend",
                        "old",
                        "--host",
                        "h1",
                        "--json",
                    ],
                    vec![(200, json!({"sessions": []}))],
                )
            },
            vec![(
                "GET /api/v1/sessions?user=a%2Bb@x&backend=old&host=h1&protocol=pop3&ip=::1",
                null.clone(),
            )],
        ),
        (
            Case {
                says: "2 sessions ended\n",
                ..case(&["kick", "alice"], vec![(200, json!({"ended": 2}))])
            },
            vec![("DELETE /api/v1/sessions?user=alice", null.clone())],
        ),
        (
            Case {
                says: "1 session ended\n",
                ..case(&["kick", "--id", "x7/2"], vec![(200, json!({"ended": 1}))])
            },
            vec![("DELETE /api/v1/sessions/x7%2F2", null.clone())],
        ),
        (
            Case {
                says: "error: there is no session from 192.0.2.1\n\nnext: `gatepost sessions` lists those there are\n",
                code: 1,
                ..case(
                    &["kick", "--ip", "192.0.2.1"],
                    vec![(200, json!({"ended": 0}))],
                )
            },
            vec![("DELETE /api/v1/sessions?ip=192.0.2.1", null.clone())],
        ),
        (
            Case {
                says: "BACKEND  HOST     STATE  WEIGHT  SESSIONS\nold      h1       up          1         2\n\
                       new      h2:1143  up          1         1\nnew      h1       up          1         0\n",
                ..case(&["backends"], vec![(200, hosts())])
            },
            vec![("GET /api/v1/backends", null.clone())],
        ),
        (
            Case {
                says: "new/h2:1143 is drained: new users go elsewhere, 1 session there now end after 5m\n",
                ..case(
                    &["drain", "h2:1143", "--after", "5m"],
                    vec![(200, hosts()), (200, json!({}))],
                )
            },
            vec![
                ("GET /api/v1/backends", null.clone()),
                (
                    "PUT /api/v1/backends/new/hosts/h2:1143",
                    json!({"state": "drain", "after": "300000ms"}),
                ),
            ],
        ),
        (
            Case {
                says: "old/h1 takes users again\n",
                ..case(
                    &["undrain", "old/h1"],
                    vec![(200, hosts()), (200, json!({}))],
                )
            },
            vec![
                ("GET /api/v1/backends", null.clone()),
                ("PUT /api/v1/backends/old/hosts/h1", json!({"state": "up"})),
            ],
        ),
        (
            Case {
                says: "old/h1 has the weight 3\n",
                ..case(
                    &["weight", "old/h1", "3"],
                    vec![(200, hosts()), (200, json!({}))],
                )
            },
            vec![
                ("GET /api/v1/backends", null.clone()),
                ("PUT /api/v1/backends/old/hosts/h1", json!({"weight": 3})),
            ],
        ),
        (
            Case {
                says: "error: several backends have a host h1\n\nnext: say which: old/h1, new/h1\n",
                code: 2,
                ..case(&["drain", "h1"], vec![(200, hosts())])
            },
            vec![("GET /api/v1/backends", null.clone())],
        ),
        (
            Case {
                says: "alice is moved to new, host h2\n",
                ..case(
                    &["move", "alice", "new", "--host", "h2"],
                    vec![(200, json!({}))],
                )
            },
            vec![(
                "POST /api/v1/move",
                json!({"user": "alice", "backend": "new", "host": "h2"}),
            )],
        ),
        (
            Case {
                says: "error: no backend is named `nwe`\n",
                code: 2,
                ..case(
                    &["move", "alice", "nwe"],
                    vec![(400, json!({"error": "no backend is named `nwe`"}))],
                )
            },
            vec![(
                "POST /api/v1/move",
                json!({"user": "alice", "backend": "nwe"}),
            )],
        ),
        (
            Case {
                input: "alice new\n# and\nbob new\n",
                says: "2 users are moved\n",
                ..case(
                    &["move", "--file", "-"],
                    vec![
                        (
                            202,
                            json!({"job": {"id": 7, "moved": 0, "failed": [], "finished": false}}),
                        ),
                        (
                            200,
                            json!({"job": {"id": 7, "moved": 2, "failed": [], "finished": true}}),
                        ),
                    ],
                )
            },
            vec![
                (
                    "POST /api/v1/move?wait=false",
                    json!([moved("alice"), moved("bob")]),
                ),
                ("GET /api/v1/moves?job=7", null.clone()),
            ],
        ),
        (
            Case {
                input: "alice new\nbob new\n",
                says: "1 of 2 users are moved\nbob was not moved: a session does not end\n\
                       error: some users were not moved\n\n\
                       next: run it again with those, once the cause is gone\n",
                code: 1,
                ..case(
                    &["move", "--file", "-"],
                    vec![(
                        202,
                        json!({"job": {"id": 8, "moved": 1, "finished": true,
                               "failed": [{"user": "bob", "error": "a session does not end"}]}}),
                    )],
                )
            },
            vec![(
                "POST /api/v1/move?wait=false",
                json!([moved("alice"), moved("bob")]),
            )],
        ),
        (
            Case {
                says: "USER   BACKEND  HOST  AGE\nalice  new      -       -\n",
                ..case(&["moves"], vec![(200, json!({"moves": [moved("alice")]}))])
            },
            vec![("GET /api/v1/moves", null.clone())],
        ),
        (
            Case {
                says: "alice@x goes where the map says\n",
                ..case(&["unmove", "alice@x"], vec![(200, json!({}))])
            },
            vec![("DELETE /api/v1/moves/alice@x", null.clone())],
        ),
        (
            Case {
                says: "error: nobody is moved by this name\n",
                code: 1,
                ..case(
                    &["unmove", "bob"],
                    vec![(404, json!({"error": "nobody is moved by this name"}))],
                )
            },
            vec![("DELETE /api/v1/moves/bob", null.clone())],
        ),
        (
            Case {
                says: "logins of bob wait, at most 120 seconds, until `gatepost release bob`\n",
                ..case(&["hold", "bob"], vec![(200, json!({}))])
            },
            vec![("POST /api/v1/hold", json!({"user": "bob"}))],
        ),
        (
            Case {
                says: "bob may log in\n",
                ..case(&["release", "bob"], vec![(200, json!({}))])
            },
            vec![("POST /api/v1/release", json!({"user": "bob"}))],
        ),
        (
            Case {
                says: "reloaded\n  users changed\n",
                ..case(
                    &["reload"],
                    vec![(
                        200,
                        json!({"changed": [{"what": "users", "name": null, "how": "changed"}], "at_restart": [], "warnings": []}),
                    )],
                )
            },
            vec![("POST /api/v1/reload", null.clone())],
        ),
        (
            Case {
                says: "error[E011]: p:3:5: no backend\nerror: the new settings are refused, the old ones stay in use\n\n\
                       next: `gatepost check` shows each problem with its line\n",
                code: 1,
                ..case(
                    &["reload"],
                    vec![(
                        422,
                        json!([{"severity": "error", "code": "E011", "file": "p", "line": 3, "column": 5,
                                       "message": "no backend", "expected": ""}]),
                    )],
                )
            },
            vec![("POST /api/v1/reload", null.clone())],
        ),
        (
            Case {
                says: "error: the running gateway does not know this command\n\n\
                       next: it is older than this program; restart it, or use its own program\n",
                code: 1,
                ..case(
                    &["moves"],
                    vec![(404, json!({"error": "there is nothing at this path"}))],
                )
            },
            vec![("GET /api/v1/moves", null.clone())],
        ),
    ];
    for (case, asks) in cases {
        let (address, told) = scripted(case.answers);
        let dir = Dir::new(case.args[0], &settings(address.port()));
        let output = dir.run(case.args, case.input);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said, case.says, "{:?}", case.args);
        assert_eq!(output.status.code(), Some(case.code), "{:?}", case.args);
        for (line, body) in asks {
            let request = told.recv().unwrap();
            assert_eq!(request.line, format!("{line} HTTP/1.1"), "{:?}", case.args);
            let has = |field: &str| request.fields.iter().any(|f| f.eq_ignore_ascii_case(field));
            assert!(has("authorization: Bearer s3cret"), "{:?}", request.fields);
            assert!(has(&format!("host: {address}")), "{:?}", request.fields);
            let sent: Value = serde_json::from_str(&request.body).unwrap_or_default();
            assert_eq!(sent, body, "{:?}", case.args);
        }
    }
}

#[test]
fn what_is_missing_is_told_with_a_next_step() {
    let smallest =
        "listeners: [\"imap://127.0.0.1:1143\"]\nbackends: { a: demo:// }\nusers: { \"*\": a }\n";
    let without = Dir::new("without", smallest);
    let output = without.run(&["sessions"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("proxy.yaml has no `admin`") && said.contains("next: add `admin:"),
        "{said}"
    );

    // A port that nothing listens on.
    let absent = Absent::new();
    let dead = Dir::new("dead", &format!("admin: {{ bind: \"{}\" }}\n", absent.at));
    let output = dead.run(&["backends"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("no answer from the gateway") && said.contains("is it running"),
        "{said}"
    );

    let (address, _told) = scripted(vec![(
        401,
        json!({"error": "the token is not the one of admin.token"}),
    )]);
    let stranger = Dir::new("stranger", &settings(address.port()));
    let output = stranger.run(&["kick", "bob"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("does not take the admin token") && !said.contains("s3cret"),
        "{said}"
    );

    let output = dead.run(&["-c", "nowhere.yaml", "sessions"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("there is no nowhere.yaml"), "{said}");

    let bad = Dir::new("bad", "admin: { bind: nowhere }\n");
    let output = bad.run(&["sessions"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("error[E020]"), "{said}");

    let output = dead.run(&["move", "--file", "-"], "alice\nbob new\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("-:1: expected 2 or 3 words, got 1"), "{said}");
}

#[test]
fn half_a_command_is_wrong() {
    let dir = Dir::new("half", "");
    for args in [
        &["kick"][..],
        &["kick", "bob", "--ip", "::1"],
        &["move", "bob"],
        &["move"],
        &["weight", "h", "-1"],
        &["drain", "h", "--after", "0s"],
    ] {
        let output = dir.run(args, "");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}
