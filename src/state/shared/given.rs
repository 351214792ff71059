//! Orders that are given here: the store takes each as a whole, and not where it goes by what another
//! gateway has changed in between.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::sleep;

use super::super::redis::Redis;
use super::super::{Basis, Change, Orders, Owner, State};
use super::Told;
use super::written::{as_seen, entry};

/// How often an order is made anew where other gateways order the same users.
const TRIES: usize = 100;

/// How long until what they ordered is known here.
const SOON: Duration = Duration::from_millis(30);

/// What became of an order.
enum Taken {
    /// The store has it, under this number.
    Under(u64),
    /// It goes by what is no longer so.
    Stale,
}

impl State {
    /// Has the store take an order; made anew where it went by what is no longer so.
    pub(in super::super) async fn remember_shared<T>(
        &self,
        redis: &Redis,
        basis: Basis,
        make: impl Fn(&Orders) -> (Vec<Change>, T),
    ) -> Result<T, String> {
        for _ in 0..TRIES {
            let (changes, made, seen) = {
                let orders = self.orders();
                let (changes, made) = make(&orders);
                let seen: Vec<[String; 4]> = match basis {
                    Basis::Whatever => Vec::new(),
                    Basis::AsSeen => {
                        let users: HashSet<&Owner> =
                            changes.iter().filter_map(Change::user).collect();
                        users.into_iter().map(|it| as_seen(&orders, it)).collect()
                    }
                };
                (changes, made, seen)
            };
            if changes.is_empty() {
                return Ok(made);
            }
            let before = self.heard.up_to();
            match self.order_shared(redis, &changes, seen).await? {
                Taken::Under(number) => {
                    let take = |changes| self.take(changes);
                    self.heard.ordered(number, before, changes, take);
                    return Ok(made);
                }
                // What came in between is soon known.
                Taken::Stale => {
                    redis.hurry.notify_one();
                    sleep(SOON).await;
                }
            }
        }
        Err("other gateways order the same users: nothing was changed".to_owned())
    }

    async fn order_shared(
        &self,
        redis: &Redis,
        changes: &[Change],
        seen: Vec<[String; 4]>,
    ) -> Result<Taken, String> {
        let away = || "the state's Redis cannot be reached: nothing was changed".to_owned();
        let link = redis.link().ok_or_else(away)?;
        let unsure = || "the state's Redis did not answer: it may have been changed".to_owned();
        let told = serde_json::to_string(&Told::Orders(changes.to_vec()));
        let mut args = vec!["order".to_owned(), told.map_err(|error| error.to_string())?];
        args.extend(seen.into_iter().flatten());
        args.extend(changes.iter().flat_map(entry));
        let answer = redis.ask_long(&link, &args).await.map_err(|_| unsure())?;
        if answer.first().is_some_and(|word| word == "stale") {
            return Ok(Taken::Stale);
        }
        let number = answer.get(1).and_then(|number| number.parse().ok());
        let number = number.ok_or_else(unsure)?;
        redis.ordered(number);
        Ok(Taken::Under(number))
    }
}
