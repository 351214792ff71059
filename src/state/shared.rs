//! What [`State`](super::State) does where a Redis is shared: the keeper of the link, claims and places
//! that count for all gateways, orders that reach all of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::owner::{Owner, Pass, Place};
use super::redis::{AGAIN, Away, BEAT, LIFE, Link, Redis};
use super::{Change, State};
use crate::observe::metrics;
use written::{entries, written};

pub(super) use heard::Heard;
pub(super) use written::{parse, read};

mod given;
mod heard;
mod written;

/// How long a start waits for the first link: then it goes on without.
const FIRST: Duration = Duration::from_secs(3);

/// As many entries as one answer to a beat has at most.
const MOST_TOLD: usize = 50;

/// Names of this gateway on links before, which may still hold places, and since when they are names of
/// the past: each is void by itself after a while.
type Before = Vec<(Arc<str>, Instant)>;

/// What is told to all gateways.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Orders(Vec<Change>),
    Send(Vec<Owner>, String),
    Clear(Vec<Owner>),
}

/// What another gateway told of failed logins; of this one's own, nothing.
pub struct Failures {
    /// Where it stands in the order of all.
    pub id: String,
    /// In seconds.
    pub age: u32,
    /// As they were told.
    pub notes: String,
}

/// What the shared store says of a claim.
pub(super) enum Verdict {
    Here,
    At(Place),
    Leaving,
    Changed,
}

fn member(link: &Link, id: u64) -> String {
    format!("{}.{id}", link.gate)
}

impl State {
    /// Starts what keeps the link to the shared store, if there is one, and waits a while for it.
    pub async fn start(self: &Arc<Self>) {
        let Some(redis) = &self.redis else {
            self.follow();
            return;
        };
        metrics::state_up(false);
        let (state, keeper) = (self.clone(), redis.clone());
        tokio::spawn(async move { state.keep(&keeper).await });
        let linked = async {
            while redis.link().is_none() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = timeout(FIRST, linked).await;
    }

    /// Whether several gateways share what is remembered.
    pub fn is_shared(&self) -> bool {
        self.redis.is_some()
    }

    /// This gateway's name on its present link to the store; none while there is none.
    pub fn gate(&self) -> Option<Arc<str>> {
        Some(self.redis.as_ref()?.link()?.gate)
    }

    /// A secret that all gateways have in common, made when it is first asked for: `before` or a new
    /// one. As it is stored, and what is made of it. None while nobody can say.
    pub async fn common_secret(&self, before: Option<&str>) -> Option<(String, String)> {
        let redis = self.redis.as_ref()?;
        let link = redis.link()?;
        let made = before.map_or_else(Redis::secret, str::to_owned);
        let answer = redis.ask(&link, &["secret".to_owned(), made]).await.ok()?;
        let stored = answer.get(1)?;
        Some((stored.clone(), redis.keyed(stored)))
    }

    /// Tells other gateways of failed logins (nothing, where that is empty), and hears what they have
    /// told behind the entry `last`, a part at a time. None while nobody can say.
    pub async fn tell_failures(&self, last: &str, told: &str) -> Option<Vec<Failures>> {
        let redis = self.redis.as_ref()?;
        let link = redis.link()?;
        let after = match last.split_once('-') {
            Some((time, number)) => format!("{time}-{}", number.parse::<u64>().ok()? + 1),
            None => "-".to_owned(),
        };
        let gate = link.gate.to_string();
        let args = ["failed".to_owned(), gate, after, told.to_owned()];
        let answer = redis.ask(&link, &args).await.ok()?;
        let entries = answer.get(1..).unwrap_or_default().chunks_exact(3);
        let entries = entries.filter_map(|entry| match entry {
            [id, age, notes] => Some(Failures {
                id: id.clone(),
                age: age.parse().unwrap_or(u32::MAX),
                notes: notes.clone(),
            }),
            _ => None,
        });
        Some(entries.collect())
    }

    /// What is wrong with the store, if anything is.
    pub fn trouble(&self) -> Option<String> {
        self.redis.as_ref()?.trouble()
    }

    async fn keep(self: Arc<Self>, redis: &Arc<Redis>) {
        let mut before = Before::new();
        let mut seen = 0;
        loop {
            match redis.join().await {
                Ok((link, orders)) => {
                    let gate = link.gate.clone();
                    before.retain(|(_, since)| since.elapsed() <= LIFE * 2);
                    self.live(redis, link, orders, &mut seen, &mut before).await;
                    before.push((gate, Instant::now()));
                }
                Err(why) => {
                    if redis.note(&why) {
                        tracing::warn!(target: "gatepost", event = "state_away", reason = why);
                    }
                }
            }
            sleep(AGAIN).await;
        }
    }

    /// As long as a link lives. `before` are the names that this gateway had on those before.
    async fn live(
        &self,
        redis: &Arc<Redis>,
        link: Link,
        answer: Vec<String>,
        seen: &mut u64,
        before: &mut Before,
    ) {
        let (mut seq, orders) = match parse(&answer) {
            Ok(both) => both,
            Err(why) => {
                if redis.note(&why) {
                    tracing::warn!(target: "gatepost", event = "state_away", reason = why);
                }
                return;
            }
        };
        // What was ordered here counts before a beat has told of it.
        *seen = (*seen).max(redis.last_ordered());
        if seq < *seen {
            // The store came back without its data, or with older: what is known here is put there again,
            // before anything is ordered by this link.
            let mut args = vec!["heal".to_owned(), seen.to_string()];
            args.extend(entries(&self.orders()));
            let answer = redis.ask_long(&link, &args).await.unwrap_or_default();
            let number = answer.get(1).and_then(|number| number.parse().ok());
            // Away; or another gateway was first: what it put there is asked for.
            let Some(number) = number else { return };
            tracing::warn!(
                target: "gatepost", event = "state_healed", stored = seq, known = *seen,
                "the state's Redis came back with less than was ordered: it has what is known here",
            );
            seq = number;
            self.heard.read(seq, || {});
        } else {
            self.heard.read(seq, || self.go_by(orders));
        }
        *seen = seq;
        // First in use, then entered: a claim in between is entered twice, which is the same.
        redis.use_link(link.clone());
        if self.restore(redis, &link, before).await.is_err() {
            return;
        }
        metrics::state_up(true);
        tracing::info!(target: "gatepost", event = "state_up");
        loop {
            let args = [
                "beat".to_owned(),
                link.gate.to_string(),
                seq.to_string(),
                Redis::lease(),
                MOST_TOLD.to_string(),
            ];
            let Ok(answer) = redis.ask(&link, &args).await else {
                return;
            };
            let mut answer = answer.into_iter();
            if answer.next().as_deref() != Some("ok") {
                // Too late with a beat, or too far behind: as if new.
                if redis.lose(&link.gate, "the lease ran out") {
                    metrics::state_up(false);
                    tracing::warn!(target: "gatepost", event = "state_away", reason = "the lease ran out");
                }
                return;
            }
            let many = answer.len() >= MOST_TOLD;
            for told in answer {
                seq += 1;
                *seen = seq;
                match serde_json::from_str(&told) {
                    Ok(told) => self.hear(seq, told),
                    Err(error) => {
                        tracing::warn!(event = "state_unreadable", %error);
                    }
                }
            }
            if many {
                // There may be more, and who reads too slowly is soon too far behind.
                continue;
            }
            tokio::select! {
                () = sleep(BEAT) => {}
                () = redis.lost.notified() => {}
                () = redis.hurry.notified() => {}
            }
            if redis.link().is_none_or(|it| it.gate != link.gate) {
                return;
            }
        }
    }

    fn hear(&self, number: u64, told: Told) {
        match told {
            Told::Orders(changes) => {
                self.heard
                    .hear(number, changes, |changes| self.take_from_others(changes));
            }
            Told::Send(keys, place) => {
                if let Some(place) = read(&place) {
                    self.pins.send_all_to(&keys, &place);
                }
            }
            Told::Clear(owners) => drop(self.clear_here(&owners)),
        }
    }

    /// Enters all that is held here; who is elsewhere by now leaves, and who was asked to. Until then the
    /// names before hold it.
    async fn restore(&self, redis: &Redis, link: &Link, before: &mut Before) -> Result<(), Away> {
        let names: Vec<String> = before.iter().map(|(name, _)| name.to_string()).collect();
        let void = format!(",{},", names.join(","));
        let entered = self.pins.all();
        for part in entered.chunks(500) {
            let mut args = vec!["restore".to_owned(), void.clone()];
            for (owner, id, place) in part {
                args.extend([owner.as_str().into(), member(link, *id), written(place)]);
            }
            let answer = redis.ask_long(link, &args).await?;
            for conflict in answer.get(1..).unwrap_or_default().chunks_exact(2) {
                if let [owner, place] = conflict {
                    let owner = Owner::from_key(owner);
                    match read(place) {
                        Some(place) => self.pins.send_to(&owner, &place),
                        None => self.pins.clear(&owner),
                    };
                }
            }
        }
        let names = names.into_iter();
        let args: Vec<String> = std::iter::once("bury".to_owned()).chain(names).collect();
        redis.ask(link, &args).await?;
        before.clear();
        // Who left in between was not there to be taken out, and would stay for ever.
        let here: HashSet<u64> = self.pins.all().into_iter().map(|(_, id, _)| id).collect();
        for (owner, id, _) in entered.iter().filter(|(_, id, _)| !here.contains(id)) {
            let args = [
                "leave".to_owned(),
                member(link, *id),
                redis.pin_key(owner.as_str()),
            ];
            redis.ask(link, &args).await?;
        }
        self.enter_again(redis, link).await
    }

    /// Enters what sessions hold here of what is counted over all gateways: under a link's name nothing
    /// of the one before counts, and who logged in without a link was never entered.
    async fn enter_again(&self, redis: &Redis, link: &Link) -> Result<(), Away> {
        let entered = self.all_entered();
        for part in entered.chunks(500) {
            let mut args = vec!["enter-again".to_owned()];
            for (id, keys) in part {
                let pairs = keys.iter().flat_map(|key| [member(link, *id), key.clone()]);
                args.extend(pairs);
            }
            redis.ask_long(link, &args).await?;
        }
        // As above: who has left in between is taken out.
        for (id, keys) in entered.iter().filter(|(id, _)| !self.is_entered(*id)) {
            let mut args = vec!["leave".to_owned(), member(link, *id)];
            args.extend(keys.iter().cloned());
            redis.ask(link, &args).await?;
        }
        Ok(())
    }

    pub(super) async fn claim_shared(
        &self,
        redis: &Redis,
        pass: &Pass,
        place: &Place,
        id: u64,
    ) -> Result<Verdict, Away> {
        let link = redis.link().ok_or(Away)?;
        let mut args = vec![
            "claim".to_owned(),
            pass.owner.as_str().into(),
            pass.named.as_str().into(),
            pass.moved.to_string(),
            written(place),
            member(&link, id),
        ];
        args.extend(pass.keys().iter().map(|key| key.as_str().to_owned()));
        let answer = redis.ask(&link, &args).await?;
        match (answer.first().map(String::as_str), answer.get(1)) {
            (Some("ok"), _) => Ok(Verdict::Here),
            (Some("at"), Some(at)) => read(at).map(Verdict::At).ok_or(Away),
            (Some("leaving"), _) => Ok(Verdict::Leaving),
            (Some("changed"), _) => Ok(Verdict::Changed),
            _ => Err(Away),
        }
    }

    /// Gives back what a member holds under these keys, as soon as may be.
    pub(super) fn leave_shared(redis: &Arc<Redis>, id: u64, keys: Vec<String>) {
        let (Some(link), Ok(runtime)) = (redis.link(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let redis = redis.clone();
        runtime.spawn(async move {
            let mut args = vec!["leave".to_owned(), member(&link, id)];
            args.extend(keys);
            let _ = redis.ask(&link, &args).await;
        });
    }

    /// How many of a user's sessions are elsewhere, all gateways together; none where nobody can say.
    pub(super) async fn send_shared(
        &self,
        redis: &Redis,
        keys: Vec<Owner>,
        to: &Place,
    ) -> Option<usize> {
        let link = redis.link()?;
        let mut args = vec!["send".to_owned(), written(to), String::new()];
        args.extend(keys.iter().map(|key| key.as_str().to_owned()));
        let told = serde_json::to_string(&Told::Send(keys, written(to)));
        if let Some(place) = args.get_mut(2) {
            *place = told.ok()?;
        }
        let answer = redis.ask(&link, &args).await.ok()?;
        answer.get(1)?.parse().ok()
    }

    /// Which keys still have sessions, all gateways together; none where nobody can say.
    pub(super) async fn clear_shared(&self, redis: &Redis, owners: &[Owner]) -> Option<Vec<Owner>> {
        let link = redis.link()?;
        let mut args = vec!["clear".to_owned()];
        args.extend(owners.iter().map(|owner| owner.as_str().to_owned()));
        let answer = redis.ask_long(&link, &args).await.ok()?;
        let left = answer.get(1..).unwrap_or_default();
        Some(left.iter().map(|owner| Owner::from_key(owner)).collect())
    }

    /// Takes places; the one that is full, where one is.
    pub(super) async fn enter_shared(
        &self,
        redis: &Redis,
        id: u64,
        keys: &[(String, u32)],
    ) -> Result<Option<usize>, Away> {
        let link = redis.link().ok_or(Away)?;
        let member = member(&link, id);
        first_full(redis, &link, ["enter".into(), member], keys).await
    }

    /// The place that is full, where one is; none is taken.
    pub(super) async fn room_shared(
        &self,
        redis: &Redis,
        keys: &[(String, u32)],
    ) -> Result<Option<usize>, Away> {
        let link = redis.link().ok_or(Away)?;
        let nobody = String::new();
        first_full(redis, &link, ["room".into(), nobody], keys).await
    }
}

/// The answer to `enter` or `room`, for a member: the place that is full, where one is.
async fn first_full(
    redis: &Redis,
    link: &Link,
    verb: [String; 2],
    keys: &[(String, u32)],
) -> Result<Option<usize>, Away> {
    let mut args = Vec::from(verb);
    for (key, most) in keys {
        args.extend([redis.count_key(key), most.to_string()]);
    }
    let answer = redis.ask(link, &args).await?;
    match (answer.first().map(String::as_str), answer.get(1)) {
        (Some("ok"), _) => Ok(None),
        (Some("full"), Some(which)) => which.parse().map(Some).map_err(|_| Away),
        _ => Err(Away),
    }
}
