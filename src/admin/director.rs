//! The verbs that order hosts and users: drain, weight, move, hold.
//!
//! `POST /api/v1/move` answers when the work is done: `{"moved":n,"failed":[{"user","error"}]}`, with
//! 409 where somebody could not be moved; nobody is if a name in the list is wrong. The work goes on
//! if the asker goes away. With `?wait=false` it answers 202 `{"job":{…}}` at once, after four minutes in any
//! case, and
//! `GET /api/v1/moves?job=ID` tells how far it is: `{"job":{"id","total","moved","failed","since",
//! "finished"}}`. `GET /api/v1/moves` answers `{"moves":[{"user","backend","host","since"}],
//! "holds":[{"user","since"}],"jobs":[…]}`.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::api::{Call, aside, bad_request};
use super::http::Reply;
use crate::backend::config::MAX_WEIGHT;
use crate::protocol::UserName;
use crate::session::Gateway;
use crate::session::director::{HostChange, Wrong};
use crate::state::mover::{Job, Wish};
use crate::state::orders::told_time;
use crate::state::times;

/// How long whoever asked for a move waits for its end: most clients and proxies give up soon after.
const ANSWER: Duration = Duration::from_secs(240);

/// Names in an answer that tells what is wrong with a list.
const TOLD: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostBody {
    state: Option<String>,
    after: Option<String>,
    weight: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    user: String,
    backend: String,
    host: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserBody {
    user: String,
}

/// `PUT /api/v1/backends/{backend}/hosts/{host}`
pub(super) async fn change_host(call: Call) -> Reply {
    let body: HostBody = match parsed(&call) {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let weight = body.weight.as_ref();
    let change = match (body.state.as_deref(), body.after.as_deref(), weight) {
        (Some("drain"), after, None) => match after.map(duration).transpose() {
            Ok(after) => HostChange::Drain(after),
            Err(text) => return bad_request(&text),
        },
        (Some("up"), None, None) => HostChange::Up,
        (None, None, Some(told)) => match told.as_u64().map(u32::try_from) {
            // The settings' own bound: what a `u32` holds.
            Some(Ok(weight)) => HostChange::Weight(weight),
            _ => {
                let told: String = told.to_string().chars().take(40).collect();
                let text = format!("expected 0 to {MAX_WEIGHT} in `weight`, got {told}");
                return bad_request(&text);
            }
        },
        _ => {
            return bad_request(
                r#"expected {"state":"drain","after":"5m"}, {"state":"up"} or {"weight":3}"#,
            );
        }
    };
    let (Some(gateway), [backend, host]) = (call.gateway.serving(), call.params.as_slice()) else {
        return not_serving();
    };
    match gateway.change_host(backend, host, change).await {
        Ok(()) => Reply::json(&json!({ "backend": backend, "host": host })),
        Err(wrong) => refused(&wrong),
    }
}

/// `POST /api/v1/move`
pub(super) async fn move_users(call: Call) -> Reply {
    // A list may have fifty thousand, and each name is looked for in the map.
    let begun = aside(move || begin_all(&call)).await;
    outcome(begun).await
}

fn begin_all(call: &Call) -> Result<Begun, Reply> {
    let gateway = call.gateway.serving().ok_or_else(not_serving)?;
    let list = call.body.trim_ascii_start().starts_with(b"[");
    let bodies: Vec<MoveBody> = match list {
        true => parsed(call)?,
        false => vec![parsed(call)?],
    };
    let mut wishes = Vec::with_capacity(bodies.len());
    let mut wrong: Vec<(String, Wrong)> = Vec::new();
    for body in bodies {
        let Ok(user) = UserName::new(body.user.as_bytes()) else {
            let text = "this can be no user's name".to_owned();
            wrong.push((body.user, Wrong::Unknown(text)));
            continue;
        };
        match gateway.wish(&user, &body.backend, body.host.as_deref()) {
            Ok(wish) => wishes.push(wish),
            Err(why) => wrong.push((body.user, why)),
        }
    }
    if let Some((user, why)) = wrong.first() {
        let text = match (list, wrong.len()) {
            (false, _) => why.text().to_owned(),
            (true, 1) => format!("nobody was moved: {user}: {}", why.text()),
            (true, n) => format!(
                "nobody was moved, {n} moves lead nowhere, the first: {user}: {}",
                why.text()
            ),
        };
        let all = wrong.iter().take(TOLD);
        let all: Vec<Value> = all
            .map(|(user, why)| json!({ "user": user, "error": why.text() }))
            .collect();
        let body = json!({ "error": text, "errors": all });
        return Err(Reply::json_with(StatusCode::NOT_FOUND, &body));
    }
    begin(call, &gateway, wishes)
}

/// `DELETE /api/v1/moves/{user}`
pub(super) async fn undo_move(call: Call) -> Reply {
    let Some(gateway) = call.gateway.serving() else {
        return not_serving();
    };
    let user = call.params.first().map(String::as_str).unwrap_or_default();
    let Ok(user) = UserName::new(user.as_bytes()) else {
        return bad_request("this can be no user's name");
    };
    match gateway.wish_back(&user) {
        Ok(wish) => outcome(begin(&call, &gateway, vec![wish])).await,
        Err(wrong) => refused(&wrong),
    }
}

/// A job, and how long whoever asked for it waits for its end.
struct Begun {
    job: Arc<Job>,
    patience: Duration,
}

fn begin(call: &Call, gateway: &Gateway, wishes: Vec<Wish>) -> Result<Begun, Reply> {
    let patience = match call.query.get("wait") {
        None | Some("true") => ANSWER,
        Some("false") => Duration::ZERO,
        Some(_) => return Err(bad_request("expected true or false in `wait`")),
    };
    let job = gateway.state.move_users(wishes);
    Ok(Begun { job, patience })
}

async fn outcome(begun: Result<Begun, Reply>) -> Reply {
    let Begun { job, patience } = match begun {
        Ok(begun) => begun,
        Err(refusal) => return refusal,
    };
    let finished = !patience.is_zero() && timeout(patience, job.finished()).await.is_ok();
    // As many may have failed as there were in the list.
    let told = move || match finished {
        true => ended(&job),
        false => Reply::json_with(StatusCode::ACCEPTED, &json!({ "job": shown(&job) })),
    };
    aside(told).await
}

fn ended(job: &Job) -> Reply {
    let failed = job.failed();
    let mut body = json!({
        "moved": job.moved(),
        "failed": failed.iter().map(failure).collect::<Vec<_>>(),
    });
    match failed.first() {
        None => Reply::json(&body),
        Some((user, why)) => {
            let text = match failed.len() {
                1 => format!("{user} was not moved: {why}"),
                n => format!("{n} users were not moved, the first: {user}: {why}"),
            };
            body["error"] = text.into();
            Reply::json_with(StatusCode::CONFLICT, &body)
        }
    }
}

/// `GET /api/v1/moves`
pub(super) fn moves(call: &Call) -> Reply {
    let Some(gateway) = call.gateway.serving() else {
        return not_serving();
    };
    let jobs = gateway.state.jobs();
    if let Some(id) = call.query.get("job") {
        let found = jobs.iter().find(|job| job.id.to_string() == id);
        return match found {
            Some(job) => Reply::json(&json!({ "job": shown(job) })),
            None => Reply::error(StatusCode::NOT_FOUND, "there is no such job"),
        };
    }
    // Copied at once: while they are read, logins may wait for who wants to change them.
    let (mut moves, mut holds): (Vec<_>, Vec<_>) = {
        let orders = gateway.state.orders();
        let moves = orders.moves().map(|(_, moved)| moved.clone()).collect();
        let holds = orders.holds().map(|(_, hold)| hold.clone()).collect();
        (moves, holds)
    };
    moves.sort_unstable_by(|a, b| a.user.cmp(&b.user));
    let moves = moves.into_iter().map(|moved| {
        json!({
            "user": moved.user,
            "backend": moved.backend,
            "host": moved.host,
            "since": told_time(moved.since),
        })
    });
    holds.sort_unstable_by(|a, b| (&a.user, a.since).cmp(&(&b.user, b.since)));
    // One stands for the name, one for the user behind it.
    holds.dedup_by(|a, b| a.user == b.user);
    let holds = holds
        .into_iter()
        .map(|hold| json!({ "user": hold.user, "since": told_time(hold.since) }));
    Reply::json(&json!({
        "moves": moves.collect::<Vec<_>>(),
        "holds": holds.collect::<Vec<_>>(),
        "jobs": jobs.iter().map(|job| shown(job)).collect::<Vec<_>>(),
    }))
}

/// `POST /api/v1/hold`
pub(super) async fn hold(call: Call) -> Reply {
    let (gateway, user) = match of_user(&call) {
        Ok(both) => both,
        Err(refusal) => return refusal,
    };
    match gateway.hold(&user).await {
        Ok(()) => Reply::json(&json!({ "user": user.as_str(), "held": true })),
        Err(wrong) => refused(&wrong),
    }
}

/// `POST /api/v1/release`
pub(super) async fn release(call: Call) -> Reply {
    let (gateway, user) = match of_user(&call) {
        Ok(both) => both,
        Err(refusal) => return refusal,
    };
    match gateway.release(&user).await {
        Ok(()) => Reply::json(&json!({ "user": user.as_str(), "held": false })),
        Err(wrong) => refused(&wrong),
    }
}

fn of_user(call: &Call) -> Result<(Arc<Gateway>, UserName), Reply> {
    let body: UserBody = parsed(call)?;
    let user = UserName::new(body.user.as_bytes())
        .map_err(|_| bad_request("`user` can be no user's name"))?;
    let gateway = call.gateway.serving().ok_or_else(not_serving)?;
    Ok((gateway, user))
}

fn parsed<'a, T: Deserialize<'a>>(call: &'a Call) -> Result<T, Reply> {
    serde_json::from_slice(&call.body).map_err(|wrong| bad_request(&format!("the body: {wrong}")))
}

fn shown(job: &Job) -> Value {
    json!({
        "id": job.id,
        "total": job.total,
        "moved": job.moved(),
        "failed": job.failed().iter().take(TOLD).map(failure).collect::<Vec<_>>(),
        "since": told_time(job.since),
        "finished": job.is_finished(),
    })
}

fn failure((user, why): &(String, String)) -> Value {
    json!({ "user": user, "error": why })
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |_| format!("expected a time like 30s or 5m in `after`, got {text:?}");
    times::duration(text).map_err(wrong)
}

fn refused(wrong: &Wrong) -> Reply {
    let status = match wrong {
        Wrong::Unknown(_) => StatusCode::NOT_FOUND,
        Wrong::NotKept(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    Reply::error(status, wrong.text())
}

fn not_serving() -> Reply {
    Reply::error(
        StatusCode::SERVICE_UNAVAILABLE,
        "the gateway does not serve",
    )
}
