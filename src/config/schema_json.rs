//! The description of proxy.yaml as a JSON Schema (draft-07, which every version of Helm and every
//! editor reads): closed maps, words and patterns for single values.
//!
//! It refuses nothing that `check` accepts. What keys mean together it says where a schema can;
//! names of backends and files are left to `check`. What may be said in several ways is one schema
//! with several types and no choice between schemas, so that a validator names the key that is
//! wrong.

#[cfg(test)]
mod tests;
mod together;
mod values;

use serde_json::{Map, Value, json};

use super::pending::{self, pending};
use super::schema::{self, Keys, Leaf, Need, Shape};

/// The schema of proxy.yaml.
pub fn schema() -> Value {
    let mut root = shape(&schema::ROOT, "");
    root.insert(
        "$schema".into(),
        "http://json-schema.org/draft-07/schema#".into(),
    );
    root.insert("title".into(), "proxy.yaml of Gatepost".into());
    Value::Object(root)
}

fn shape(shape: &Shape, place: &str) -> Map<String, Value> {
    let mut out = Map::new();
    let mut types: Vec<&str> = Vec::new();
    let mut constraints = Vec::new();
    if let Some(leaf) = shape.scalar {
        constraints.push(values::scalar(leaf, &mut types));
    }
    if let Some(of) = shape.list {
        types.push("array");
        let below = format!("{place}[]");
        let mut list = json!({ "items": self::shape(of, &below) });
        if matches!(
            place,
            "listeners"
                | "listeners[].allow"
                | "backends.*"
                | "backends.*.hosts"
                | "backends.*.protocols"
        ) {
            list["minItems"] = 1.into();
        }
        constraints.push(list);
    }
    if let Some(keys) = &shape.map {
        types.push("object");
        constraints.push(map(keys, place));
    }
    out.insert(
        "type".into(),
        match types.as_slice() {
            [one] => (*one).into(),
            several => several.into(),
        },
    );
    for constraint in constraints {
        if let Value::Object(constraint) = constraint {
            out.extend(constraint);
        }
    }
    out.extend(together::of_value(place));
    out
}

fn map(keys: &Keys, place: &str) -> Value {
    let known = match keys {
        Keys::Any => return json!({}),
        Keys::Free(value) => {
            let below = format!("{place}.*");
            let mut free = json!({ "additionalProperties": shape(value, &below) });
            if place == "backends" {
                free["minProperties"] = 1.into();
                free["propertyNames"] = json!({ "pattern": values::NAME });
            }
            if place == "users" {
                free["propertyNames"] = json!({ "pattern": values::USER_KEY });
            }
            return free;
        }
        Keys::Known(known) => known,
    };
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in *known {
        let below = match place {
            "" => key.name.to_owned(),
            place => format!("{place}.{}", key.name),
        };
        let endpoint = matches!(key.shape.scalar, Some(Leaf::Endpoint("submission")));
        if pending(&below).is_some() || (endpoint && pending::SUBMISSION.is_some()) {
            continue;
        }
        let mut value = shape(key.shape, &below);
        let about = format!("{}: {}", key.about, key.shape.what);
        value.insert("description".into(), about.into());
        properties.insert(key.name.into(), value.into());
        if key.need == Need::Required {
            required.push(key.name);
        }
    }
    let mut out = json!({ "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    if let Value::Object(out) = &mut out {
        out.extend(together::of_map(place));
    }
    out
}
