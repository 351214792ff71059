//! How places and orders are written in the shared store, and read from it.

use std::collections::HashMap;

use serde::Serialize;

use super::super::orders::{self, Orders};
use super::super::owner::{Owner, Place};
use super::super::{Change, Hold};

/// A place: names hold no control characters.
pub(super) fn written(place: &Place) -> String {
    format!("{}\t{}", place.backend, place.host)
}

/// What [`written`] wrote.
pub(in super::super) fn read(text: &str) -> Option<Place> {
    let (backend, host) = text.split_once('\t')?;
    Some(Place::new(backend, host))
}

/// A change as the script takes it: the hash, the field, the value (empty: removed), the name.
pub(super) fn entry(change: &Change) -> [String; 4] {
    let (kind, field, value, name) = match change {
        Change::Move(owner, moved) => {
            let named = orders::named(&moved.user);
            let named = named.as_ref().map_or("", Owner::as_str).to_owned();
            let value = format!("{}\t{named}\t{}", moved.version, json(moved));
            ("move", owner.as_str().to_owned(), value, named)
        }
        Change::Unmove(owner) => (
            "unmove",
            owner.as_str().to_owned(),
            String::new(),
            String::new(),
        ),
        Change::Drain(place, drain) => ("drains", written(place), json(drain), String::new()),
        Change::Undrain(place) => ("drains", written(place), String::new(), String::new()),
        Change::Weight(place, weight) => {
            ("weights", written(place), weight.to_string(), String::new())
        }
        Change::Unweight(place) => ("weights", written(place), String::new(), String::new()),
        Change::Hold(owner, hold) => {
            let owner = owner.as_str().to_owned();
            ("holds", owner, held(hold), String::new())
        }
        Change::Release(owner) => (
            "holds",
            owner.as_str().to_owned(),
            String::new(),
            String::new(),
        ),
    };
    [kind.to_owned(), field, value, name]
}

/// All orders as the script takes them, for a store that has none.
pub(super) fn entries(orders: &Orders) -> Vec<String> {
    let changes = orders.changes();
    let by_map = orders.by_map().into_iter().map(|named| {
        let named = named.as_str().to_owned();
        ["names".to_owned(), named, String::new(), String::new()]
    });
    changes.iter().map(entry).chain(by_map).flatten().collect()
}

/// That a user stands as it does here, as the script takes it beside the changes.
pub(super) fn as_seen(orders: &Orders, owner: &Owner) -> [String; 4] {
    let hold = orders.last_hold(owner).map(held).unwrap_or_default();
    let moved = orders.standing(owner);
    let version = moved.map_or_else(String::new, |moved| moved.version.to_string());
    ["if".to_owned(), owner.as_str().to_owned(), hold, version]
}

fn held(hold: &Hold) -> String {
    format!("{}\t{}", hold.until.unwrap_or(0), json(hold))
}

/// All orders, from the answer to a join.
pub(in super::super) fn parse(answer: &[String]) -> Result<(u64, Orders), String> {
    let damaged = || "what is stored there is not ours, or damaged".to_owned();
    let (seq, entries) = answer.split_first().ok_or_else(damaged)?;
    let seq = seq.parse().map_err(|_| damaged())?;
    let (mut orders, mut names) = (Orders::default(), HashMap::new());
    for entry in entries.chunks(3) {
        let [kind, field, value] = entry else {
            return Err(damaged());
        };
        let owner = || Owner::from_key(field);
        let place = || read(field).ok_or_else(damaged);
        let json = value
            .rsplit_once('\t')
            .map_or(value.as_str(), |(_, json)| json);
        let bad = |error: serde_json::Error| format!("what is stored there is damaged: {error}");
        orders.apply(match kind.as_str() {
            // The moves come in no order, so that they do not tell it.
            "names" => {
                names.insert(owner(), Owner::from_key(value));
                continue;
            }
            "moves" => Change::Move(owner(), serde_json::from_str(json).map_err(bad)?),
            "drains" => Change::Drain(place()?, serde_json::from_str(json).map_err(bad)?),
            "weights" => Change::Weight(place()?, serde_json::from_str(json).map_err(bad)?),
            "holds" => Change::Hold(owner(), serde_json::from_str(json).map_err(bad)?),
            _ => return Err(damaged()),
        });
    }
    orders.set_names(names);
    Ok((seq, orders))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
