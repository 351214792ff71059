//! All backends together, and what becomes of them when the settings change.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Backend, Config, Surroundings};

/// Every backend, by name.
#[derive(Default)]
pub struct Backends(BTreeMap<String, Arc<Backend>>);

impl Backends {
    /// Makes them all. The errors are all of them: which backend, and why it cannot be.
    pub fn new<'a>(
        configs: impl IntoIterator<Item = &'a Config>,
        around: &Surroundings,
    ) -> Result<Self, Vec<String>> {
        let mut made = BTreeMap::new();
        let mut errors = Vec::new();
        for config in configs {
            match Backend::new(config.clone(), around.clone()) {
                Ok(backend) => drop(made.insert(config.name.clone(), Arc::new(backend))),
                Err(error) => errors.push(format!("backend {}: {error}", config.name)),
            }
        }
        match errors.is_empty() {
            true => Ok(Backends(made)),
            false => Err(errors),
        }
    }

    /// Makes those of new settings. One whose settings and files are as they were goes on as it is;
    /// of another that keeps its name, the hosts that keep theirs keep their sessions, and what was
    /// learned about them where their endpoints are the same. The errors are all of them.
    pub fn succeeding<'a>(
        &self,
        configs: impl IntoIterator<Item = &'a Config>,
        around: &Surroundings,
    ) -> Result<Self, Vec<String>> {
        let mut made = BTreeMap::new();
        let mut errors = Vec::new();
        for config in configs {
            let before = self.0.get(&config.name);
            match Backend::succeeding(config, around, before) {
                Ok(backend) => drop(made.insert(config.name.clone(), backend)),
                Err(error) => errors.push(format!("backend {}: {error}", config.name)),
            }
        }
        match errors.is_empty() {
            true => Ok(Backends(made)),
            false => Err(errors),
        }
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Backend>> {
        self.0.get(name)
    }

    /// Starts what runs beside the logins, for each: see [`Backend::start`].
    pub fn start(&self) {
        self.0.values().for_each(Backend::start);
    }

    /// Ends what runs beside the logins of those that are not among `others`.
    pub fn stop_but(&self, others: &Backends) {
        let stays = |backend: &Arc<Backend>| {
            let other = others.get(backend.name());
            other.is_some_and(|other| Arc::ptr_eq(other, backend))
        };
        let gone = self.iter().filter(|backend| !stays(backend));
        gone.for_each(|backend| backend.stop());
    }

    /// In order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::config::{Endpoint, Health, HostConfig, Security, Target};
    use crate::backend::health::{By, Change};
    use crate::backend::host::State;
    use crate::observe::metrics::tests::exposed;
    use crate::protocol::{Failure, Protocol};

    fn settings(port: u16) -> Config {
        let host = HostConfig {
            name: "h".into(),
            imap: Some(Endpoint {
                protocol: Protocol::Imap,
                security: Security::Clear,
                target: Target::Network {
                    host: "127.0.0.1".into(),
                    port,
                },
            }),
            pop3: None,
            weight: 1,
        };
        Config {
            health: None,
            ..Config::new("refused", vec![host])
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_a_host_outlives_the_settings_that_judge_it() {
        let around = Surroundings::default();
        let why = Failure::TimedOut { state: "connect" };
        let fall = |fall| {
            Some(Health {
                fall,
                rise: 1,
                ..Health::default()
            })
        };
        let begin = Config {
            logins_in_flight: 16,
            ..settings(1)
        };
        let mut backends = Backends::new([&begin], &around).unwrap();
        let host = |backends: &Backends| backends.get("refused").unwrap().hosts()[0].clone();
        let _ = host(&backends).not_reached(Protocol::Imap, By::Login, &why);
        host(&backends).reached(Protocol::Imap, By::Login);
        assert_eq!(host(&backends).free_turns(), 2, "it is cold");
        let _ = host(&backends).not_reached(Protocol::Imap, By::Login, &why);
        for change in [
            Config {
                health: fall(3),
                ..begin.clone()
            },
            Config {
                health: fall(2),
                logins_in_flight: 32,
                ..begin.clone()
            },
            Config {
                logins_in_flight: 8,
                max_sessions: 7,
                ..begin.clone()
            },
        ] {
            // Settings that are refused in the end change nothing.
            let _refused = backends.succeeding(
                [&Config {
                    health: fall(9),
                    ..begin.clone()
                }],
                &around,
            );
            backends = backends.succeeding([&change], &around).unwrap();
            let host = host(&backends);
            assert_eq!(host.state(), State::Down, "{change:?}");
            assert_eq!(host.last_failure(), Some(why.clone()));
            assert_eq!(host.free_turns(), 2, "{change:?}");
        }
        // With endpoints of its own it is another one.
        let other = backends.succeeding([&settings(2)], &around).unwrap();
        assert_eq!(host(&other).state(), State::Up);
        // And the last rules are those that count.
        let rules = Config {
            health: fall(2),
            ..begin
        };
        let backends = backends.succeeding([&rules], &around).unwrap();
        let host = host(&backends);
        let _probed = host.health.probed(Protocol::Imap);
        host.begin();
        assert!(matches!(
            host.reached(Protocol::Imap, By::Probe),
            Change::CameBack { .. }
        ));
        let told = [(); 2].map(|()| host.not_reached(Protocol::Imap, By::Probe, &why));
        assert_eq!(told, [Change::None, Change::WentDown]);
    }

    #[test]
    fn settings_that_are_not_taken_change_no_metric() {
        let around = Surroundings::default();
        let up = |taken: &dyn Fn(&Backends)| {
            let lines = exposed(|| {
                let backends = Backends::new([&settings(1)], &around).unwrap();
                backends.start();
                let host = backends.get("refused").unwrap().hosts()[0].clone();
                let why = Failure::TimedOut { state: "connect" };
                let _ = host.not_reached(Protocol::Imap, By::Login, &why);
                taken(&backends);
            });
            let mut lines = lines.into_iter();
            lines
                .find(|line| line.starts_with("gatepost_host_up"))
                .unwrap()
        };
        let is_down = "gatepost_host_up{backend=\"refused\",host=\"h\"} 0";
        let is_up = "gatepost_host_up{backend=\"refused\",host=\"h\"} 1";
        assert_eq!(up(&|_| {}), is_down);
        let built = |before: &Backends| before.succeeding([&settings(2)], &around).unwrap();
        assert_eq!(up(&|before| drop(built(before))), is_down);
        assert_eq!(up(&|before| built(before).start()), is_up);
    }
}
