//! Who has a place on a host that takes `max_sessions`: sessions do, logins under way do not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost::backend::config::{Balance, Config};
use gatepost::backend::{Backend, Connected, Refusal};
use gatepost::protocol::{Failure, Limit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::scripted::*;

/// Says the answer to one login.
type Answer = oneshot::Sender<&'static str>;

/// A host that answers each login when it is told to, and the logins that came to it.
async fn held() -> (SocketAddr, mpsc::UnboundedReceiver<Answer>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (came, logins) = mpsc::unbounded_channel::<Answer>();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let came = came.clone();
            tokio::spawn(async move {
                let _ = tcp.write_all(GREETING.as_bytes()).await;
                let mut heard = Vec::new();
                while !heard.ends_with(b"\r\n") {
                    if tcp.read_buf(&mut heard).await.unwrap_or_default() == 0 {
                        return;
                    }
                }
                let tag = heard.split(|octet| *octet == b' ').next().unwrap();
                let (answer, told) = oneshot::channel::<&'static str>();
                let _ = came.send(answer);
                if let Ok(answer) = told.await {
                    let answer = [tag, answer.as_bytes(), b"\r\n"].concat();
                    let _ = tcp.write_all(&answer).await;
                    let _ = tcp.read(&mut [0]).await;
                }
            });
        }
    });
    (at, logins)
}

const YES: &str = " OK in";

/// A backend of two hosts that take two sessions each, the logins that come to its first, and its second.
async fn for_two() -> (Arc<Backend>, mpsc::UnboundedReceiver<Answer>, Host) {
    let (at, logins) = held().await;
    let other = Host::start(good()).await;
    let config = Config {
        max_sessions: 2,
        ..config(&[at, other.at])
    };
    (Arc::new(backend(config)), logins, other)
}

/// The next login that comes to a host.
async fn next(logins: &mut mpsc::UnboundedReceiver<Answer>) -> Answer {
    let came = tokio::time::timeout(Duration::from_secs(60), logins.recv()).await;
    came.expect("a login comes to the host").unwrap()
}

/// Starts a login.
fn begins(backend: &Arc<Backend>, name: &str) -> JoinHandle<Result<Connected, Refusal>> {
    let (backend, user) = (backend.clone(), Alice::called(name));
    tokio::spawn(async move { backend.connect(user.request()).await })
}

/// Users who belong to the host of this name, at least so many.
fn users_of(backend: &Backend, host: &str, many: usize) -> Vec<String> {
    let pass = |user: &Alice| gatepost::state::Pass::plain(backend.name(), &user.user);
    let is_home = |name: &String| {
        let user = Alice::called(name);
        let order = backend.preference(&pass(&user), &user.user, None).unwrap();
        order[0].name() == host
    };
    let names = (0..).map(|n| format!("user{n}")).filter(is_home);
    names.take(many).collect()
}

#[tokio::test]
async fn strangers_cannot_fill_a_host() {
    let (backend, mut logins, other) = for_two().await;
    let users = users_of(&backend, "h0", 3);
    let mut strangers = Vec::new();
    for _ in 0..5 {
        let stranger = begins(&backend, &users[0]);
        strangers.push((stranger, next(&mut logins).await));
    }
    // Where they belong, both of them.
    let mut seats = Vec::new();
    for user in &users[1..] {
        let login = begins(&backend, user);
        next(&mut logins).await.send(YES).unwrap();
        seats.push(login.await.unwrap().unwrap());
    }
    assert_eq!(other.connections(), 0);
    for (stranger, answer) in strangers {
        answer.send(" NO [AUTHENTICATIONFAILED] wrong").unwrap();
        let failure = stranger.await.unwrap().map(drop).unwrap_err().failure;
        assert!(failure.is_credentials(), "{failure:?}");
    }
    assert_eq!(backend.host("h0").unwrap().sessions(), 2);
}

#[tokio::test]
async fn there_are_never_more_than_may_be() {
    let (backend, mut logins, _other) = for_two().await;
    let users = users_of(&backend, "h0", 2);
    let mut under_way = Vec::new();
    for user in [0, 0, 1] {
        let login = begins(&backend, &users[user]);
        under_way.push((login, next(&mut logins).await));
    }
    let [one, again, two] = <[_; 3]>::try_from(under_way).ok().unwrap();
    let yes = async |(login, answer): (JoinHandle<_>, Answer)| {
        answer.send(YES).unwrap();
        login.await.unwrap()
    };
    let one: Connected = yes(one).await.unwrap();
    let filler = Alice::called("somebody");
    let filler = gatepost::backend::Request {
        host: Some("h0"),
        ..filler.request()
    };
    let (filler, ()) = tokio::join!(backend.connect(filler), async {
        next(&mut logins).await.send(YES).unwrap();
    });
    let full = |it: Result<Connected, Refusal>| {
        let failure = it.map(drop).unwrap_err().failure;
        assert!(
            matches!(
                failure,
                Failure::TooMany {
                    limit: Limit::MaxSessions
                }
            ),
            "{failure:?}"
        );
    };
    // Where a user's sessions are the user stays, or nowhere; who has none there may be elsewhere.
    full(yes(again).await);
    let two = yes(two).await.unwrap();
    assert_eq!(two.seat.host().name(), "h1");
    let home = backend.host("h0").unwrap();
    assert_eq!(home.sessions(), 2);
    // Who comes now is told before the host hears of it.
    full(begins(&backend, &users[0]).await.unwrap());
    assert!(logins.try_recv().is_err());
    drop(filler);
    assert_eq!(home.sessions(), 1);
    drop(one);
    let login = begins(&backend, &users[0]);
    next(&mut logins).await.send(YES).unwrap();
    assert!(login.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_burst_is_spread_before_anybody_is_in() {
    let (one, mut at_one) = held().await;
    let (two, mut at_two) = held().await;
    let backend = Arc::new(backend(Config {
        balance: Balance::LeastSessions,
        ..config(&[one, two])
    }));
    let mut under_way = Vec::new();
    for n in 0..10 {
        let login = begins(&backend, &format!("user{n}"));
        let answer = tokio::select! {
            answer = at_one.recv() => (1, answer),
            answer = at_two.recv() => (2, answer),
        };
        under_way.push((login, answer));
    }
    let at_one = under_way.iter().filter(|(_, (host, _))| *host == 1).count();
    assert_eq!(at_one, 5);
}
