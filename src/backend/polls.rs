//! Logins of polls: on a connection that waits greeted, and what such a login leaves for the next.

use tokio::time::Instant;

use super::attempt::{Attempt, Challenges, Heard};
use super::login::{Patience, Played, play};
use super::pool::{Greeted, Opener};
use super::visit::{Sent, certified_name};
use crate::protocol::{Client, Failure, HostLogin, Protocol, imap};

impl Attempt<'_> {
    /// A login on a connection that waits greeted, for a poll. None: nothing waits, or what did
    /// ended without a word: it may have been dead before the login was sent, so the same host is
    /// asked once more, on a connection of its own. A host that said anything may have heard it.
    pub(super) async fn log_in_greeted(
        &self,
        login: &HostLogin,
        dialogue: &mut Heard<'_>,
    ) -> Option<Result<Played, (Failure, Sent)>> {
        let (backend, host, endpoint) = (self.backend, self.host, self.endpoint);
        if endpoint.protocol != Protocol::Imap || login.behind.is_empty() {
            return None;
        }
        let Greeted { stream, greeting } = host.pool.take().await?;
        let mut client = imap::client::Client::new(login.clone(), host.known.profile());
        client.receive(&greeting);
        let patience = Patience {
            greeting: Instant::now() + backend.config.greeting_timeout,
            login: backend.config.login_timeout,
        };
        let name = certified_name(&backend.config, endpoint);
        let tls = backend.tls.as_deref().map(|tls| (tls, name));
        match (
            play(stream, &mut client, patience, tls, dialogue).await,
            dialogue.heard,
        ) {
            (Err(Failure::Unreachable { .. }), Challenges::None)
                if client.heard() == greeting.len() || Sent::by(&client) == Sent::Nothing =>
            {
                None
            }
            (played, _) => {
                host.known.learn(client.learned());
                Some(played.map_err(|failure| (failure, Sent::by(&client))))
            }
        }
    }

    /// A poll was let in: connections for the next ones may wait. Not where each must begin with who
    /// the client is.
    pub(super) fn expect_more(&self) {
        let (backend, endpoint) = (self.backend, self.endpoint);
        let poll = (self.request.protocol, endpoint.protocol) == (Protocol::Pop3, Protocol::Imap);
        if !poll || backend.told_first(None).is_some() {
            return;
        }
        let (tls, names) = (backend.tls.as_ref(), backend.names.get());
        let opener = Opener::new(&backend.config, endpoint, tls, names, &backend.around);
        if let Some(opener) = opener {
            self.host.pool.polled(|| opener.clone().open());
        }
    }
}
