//! What is remembered, for whoever only looks: nothing is changed, nothing is joined.

use std::collections::HashMap;

use super::config::Config;
use super::orders::Orders;
use super::owner::{Owner, Pass, Place};
use super::redis::{Away, Redis};
use super::shared::{parse, read};
use super::{State, file};

/// What a state holds.
#[derive(Debug, Default)]
pub struct Look {
    /// What is ordered.
    pub orders: Orders,
    /// Where live sessions are, of the keys that were asked for; none: that is not kept there.
    pub places: Option<Places>,
}

/// Where live sessions are, by the keys they stand under.
#[derive(Debug, Default)]
pub struct Places(HashMap<Owner, Place>);

impl Places {
    /// Where new sessions of this user go, if there are any now.
    pub fn of(&self, pass: &Pass) -> Option<Place> {
        pass.keys().iter().find_map(|key| self.0.get(key)).cloned()
    }

    fn read(answer: &[String]) -> Self {
        let pairs = answer.get(1..).unwrap_or_default().chunks_exact(2);
        let places = pairs.filter_map(|pair| match pair {
            [key, place] => Some((Owner::from_key(key), read(place)?)),
            _ => None,
        });
        Places(places.collect())
    }
}

impl Look {
    /// Looks at where the settings say, and at the sessions of a user. Blocks on the file system.
    ///
    /// # Errors
    /// Why it cannot be read, for the operator.
    pub async fn at(config: &Config, pass: &Pass) -> Result<Self, String> {
        match config {
            Config::Memory => Ok(Look::default()),
            Config::File(path) => {
                let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let content = file::read(path).map_err(|error| told(&error))?;
                let orders = match content {
                    None => Orders::default(),
                    Some(text) => Orders::read(&text).map_err(|wrong| told(&wrong))?,
                };
                Ok(Look {
                    orders,
                    places: None,
                })
            }
            Config::Redis(config) => {
                let redis = Redis::new(config)?;
                let link = redis.connect().await?;
                let answer = redis.look(&link, &["orders".to_owned()]).await?;
                let (_, orders) = parse(&answer)?;
                let answer = redis.look(&link, &asked(pass)).await?;
                Ok(Look {
                    orders,
                    places: Some(Places::read(&answer)),
                })
            }
        }
    }
}

impl State {
    /// Where live sessions of a user are, on all gateways together as far as they can be asked.
    pub async fn places(&self, pass: &Pass) -> Places {
        let keys = Owner::all_keys(&pass.owner, &pass.named);
        let here = { keys.into_iter() }.filter_map(|key| {
            let place = self.pins.of(std::slice::from_ref(&key))?;
            Some((key, place))
        });
        let here = Places(here.collect());
        let Some(redis) = &self.redis else {
            return here;
        };
        let everywhere = async {
            let link = redis.link().ok_or(Away)?;
            redis.ask(&link, &asked(pass)).await
        };
        everywhere
            .await
            .map_or(here, |answer| Places::read(&answer))
    }
}

fn asked(pass: &Pass) -> Vec<String> {
    let keys = Owner::all_keys(&pass.owner, &pass.named);
    let keys = keys.iter().map(|key| key.as_str().to_owned());
    std::iter::once("places".to_owned()).chain(keys).collect()
}
