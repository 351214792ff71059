//! The turns of the conversation: what is to be done next, and what the gateway answers to a login.

use super::intake::Progress;
use super::{Asked, Server, State};
use crate::protocol::imap::framing::Framing;
use crate::protocol::imap::reply;
use crate::protocol::sasl;
use crate::protocol::{
    self, Channel, Failure, Farewell, Handover, Observer, Refused, Step, UserName, Verdict, Welcome,
};

impl protocol::Server for Server {
    fn receive(&mut self, bytes: &[u8]) {
        // Behind STARTTLS and LOGOUT nothing is heard any more.
        if !matches!(self.state, State::TlsDue | State::Closed(_)) {
            self.lines.push(bytes);
        }
    }

    fn step(&mut self) -> Step {
        loop {
            if !self.out.is_empty() {
                return Step::Write(std::mem::take(&mut self.out));
            }
            let progress = match std::mem::replace(&mut self.state, State::Ready) {
                State::Greeting => {
                    self.greet();
                    Progress::Made
                }
                State::Ready => self.read_command(),
                State::Sasl(tag, exchange) => self.read_answer(tag, exchange),
                State::LoginDue(tag, login) => {
                    self.state = State::Deciding(tag);
                    self.lines.fit();
                    return Step::Login(login);
                }
                State::Deciding(tag) => {
                    self.state = State::Deciding(tag);
                    return Step::Read;
                }
                State::Challenged(tag) => self.read_exchange(tag),
                State::AnswerDue(tag, answer) => {
                    self.state = State::Deciding(tag);
                    return Step::Exchange(answer);
                }
                State::TlsDue => {
                    self.state = State::TlsDue;
                    return Step::StartTls;
                }
                State::Closed(why) => {
                    self.state = State::Closed(why);
                    return Step::Close(why);
                }
            };
            if let Progress::Starved = progress {
                return Step::Read;
            }
        }
    }

    fn tls_started(&mut self) {
        self.forget();
        self.settings.channel = Channel::Tls;
        if !matches!(self.state, State::Greeting) {
            self.state = State::Ready;
        }
    }

    fn serve(&mut self, mechanisms: sasl::Mechanisms) {
        self.settings.mechanisms = mechanisms;
    }

    fn certificate_shown(&mut self, name: UserName) {
        self.certificate = Some(name);
    }

    fn hold_less(&mut self, octets: usize) {
        self.long_line = sasl::longest_beside(octets);
    }

    fn ttl(&self) -> Option<u8> {
        self.ttl
    }

    fn challenge(&mut self, challenge: &sasl::Message) {
        if let State::Deciding(tag) = std::mem::replace(&mut self.state, State::Ready) {
            self.out.extend_from_slice(b"+ ");
            self.out.extend_from_slice(&challenge.to_base64());
            self.out.extend_from_slice(b"\r\n");
            self.state = State::Challenged(tag);
        }
    }

    /// Also of a client that has not answered a challenge yet: then its host is gone, and what it
    /// answers is read as a command.
    fn reject(&mut self, failure: &Failure) {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Deciding(tag) | State::Challenged(tag) | State::AnswerDue(tag, _) => {
                self.fail(&tag, failure);
            }
            State::Closed(why) => self.state = State::Closed(why),
            _ => {}
        }
    }

    /// The tagged OK (RFC 9051 §7.1), with what came before and behind the host's. The host's
    /// capabilities stand in it, and before it once more for a client that asked by command: it may
    /// not look for them in a response code.
    fn accept(mut self: Box<Self>, mut welcome: Welcome) -> Handover {
        let mut to_client = std::mem::take(&mut self.out);
        to_client.extend_from_slice(&welcome.untagged);
        let tag = match &self.state {
            State::Deciding(tag) => tag.as_str(),
            _ => "*",
        };
        let text = reply::text(&welcome.text, "logged in");
        let ok = match &welcome.capabilities {
            Some(list) => {
                let list = list.join(" ");
                if self.capability == Asked::Yes {
                    to_client.extend_from_slice(format!("* CAPABILITY {list}\r\n").as_bytes());
                }
                format!("{tag} OK [CAPABILITY {list}] {text}\r\n")
            }
            None => format!("{tag} OK {text}\r\n"),
        };
        to_client.extend_from_slice(ok.as_bytes());
        // The observer sees all that stands behind the OK, in the order it came; the relay goes on
        // from there.
        let mut observer = Framing::new(
            &self.settings.session,
            welcome.capabilities.as_deref(),
            welcome.unauthenticate,
        );
        observer.host_to_client(&mut welcome.rest);
        to_client.extend_from_slice(&welcome.rest);
        let mut to_host = self.lines.rest();
        if observer.client_to_host(&to_host) == Verdict::End {
            // The observer lets nothing more pass, so the session ends with the next octets.
            to_host.clear();
            if welcome.rest.is_empty() {
                to_client.extend_from_slice(b"* BYE command not allowed here\r\n");
            }
        }
        Handover::new(to_client, to_host, Box::new(observer))
    }

    fn farewell(&mut self, reason: Farewell) -> Vec<u8> {
        reply::farewell(reason, &self.settings.session)
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Greeting => "greeting",
            State::Ready => "not-authenticated",
            State::Sasl(..) => "sasl",
            State::LoginDue(..) | State::Deciding(_) => "login",
            State::Challenged(_) | State::AnswerDue(..) => "exchange",
            State::TlsDue => "tls",
            State::Closed(_) => "logout",
        }
    }

    fn refused(&mut self) -> Option<Refused> {
        self.refused.take()
    }

    fn held(&self) -> usize {
        let secret = match &self.state {
            State::LoginDue(_, login) => login.credentials.size(),
            State::AnswerDue(_, sasl::Answer::Message(message)) => message.size(),
            _ => 0,
        };
        self.lines
            .capacity()
            .saturating_add(self.command.capacity())
            .saturating_add(self.out.capacity())
            .saturating_add(secret)
    }
}
