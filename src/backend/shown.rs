//! What a host is shown of a login: the name and what proves it, and who the client is.

use super::attempt::{starttls, unpredictable};
use super::config::{Endpoint, ForwardClient};
use super::{Backend, Request};
use crate::protocol::{Credentials, Failure, HostLogin, Origin, Protocol, UserName};

impl Backend {
    /// What the host is shown: what the client showed, or a master's.
    pub(super) fn shown(&self, request: &Request<'_>) -> Result<(UserName, Credentials), Failure> {
        match (&self.config.login_as, request.credentials) {
            (Some(master), Credentials::Password(_) | Credentials::Certificate) => {
                master.login(request.user)
            }
            // Nobody has looked at these: the host would have, and is asked by the master instead.
            (Some(_), shown @ (Credentials::Token(_) | Credentials::Scram(_))) => {
                let cause = "login_as with credentials that were not checked".into();
                Err(shown.not_taken(cause))
            }
            (None, Credentials::Certificate) => Err(Failure::HostSetup {
                cause: format!(
                    "backend {} has no login_as, which a login by certificate needs",
                    self.name()
                ),
            }),
            (None, shown) => Ok((request.user.clone(), shown.clone())),
        }
    }

    /// A host that refuses a master's login does not say that the client's password is wrong: that
    /// one was found right before.
    pub(super) fn whose(&self, failure: Failure) -> Failure {
        match self.config.login_as.is_some() && failure.is_credentials() {
            true => Failure::HostSetup {
                cause: format!("login_as: {failure}"),
            },
            false => failure,
        }
    }

    /// The login as an endpoint hears it.
    pub(super) fn host_login(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        (user, credentials): (UserName, Credentials),
    ) -> HostLogin {
        HostLogin {
            user,
            credentials,
            starttls: starttls(endpoint),
            seed: unpredictable(),
            origin: self.told_in_login(endpoint.protocol, request),
            // A relayed client's commands stay with whoever relays: they are its own.
            behind: match (request.protocol, endpoint.protocol) {
                (Protocol::Pop3, Protocol::Imap) => request.behind.to_vec(),
                _ => Vec::new(),
            },
        }
    }

    /// Who the client is, for hosts that hear it in their protocol. A PROXY header has no place for the
    /// session's id that a mail server would log, so behind one it is told as well, where the host
    /// offers to hear it.
    fn told_in_login(&self, speaks: Protocol, request: &Request<'_>) -> Option<Origin> {
        match (self.config.forward_client, speaks) {
            (ForwardClient::Auto | ForwardClient::ProxyV1 | ForwardClient::ProxyV2, _)
            | (ForwardClient::Id, Protocol::Imap)
            | (ForwardClient::Xclient, Protocol::Pop3) => request.origin.clone(),
            _ => None,
        }
    }
}
