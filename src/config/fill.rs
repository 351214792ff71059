//! Environment variables in proxy.yaml: `${NAME}` in any scalar, put in before the value is typed.

use super::node::{Filled, Kind, Mark, Node};

/// Puts environment variables into every scalar, keys too: `${NAME}`; `$$` is a dollar, and so is one
/// that stands alone. Returns what could not be put in, and why.
pub(super) fn fill(node: &mut Node, env: &dyn Fn(&str) -> Option<String>) -> Vec<(Mark, String)> {
    let mut faults = Vec::new();
    fill_node(node, env, &mut faults);
    faults
}

fn fill_node(
    node: &mut Node,
    env: &dyn Fn(&str) -> Option<String>,
    faults: &mut Vec<(Mark, String)>,
) {
    match &mut node.kind {
        Kind::Text(text) if text.contains('$') => {
            node.kind = match filled(text, env) {
                Ok((text, Vars::None)) => Kind::Text(text.into()),
                Ok((value, Vars::Some)) => Kind::Filled(Box::new(Filled {
                    written: std::mem::take(text),
                    text: value.into(),
                })),
                Err(message) => {
                    faults.push((node.mark, message));
                    Kind::Broken
                }
            };
        }
        Kind::List(items) => {
            for item in items {
                fill_node(item, env, faults);
            }
        }
        Kind::Map(entries) => {
            for (key, value) in entries {
                fill_node(key, env, faults);
                fill_node(value, env, faults);
            }
        }
        _ => {}
    }
}

/// Whether a scalar had variables in it.
#[derive(Debug, PartialEq)]
enum Vars {
    None,
    Some,
}

fn filled(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(String, Vars), String> {
    let mut out = String::with_capacity(text.len());
    let mut vars = Vars::None;
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        rest = match behind.strip_prefix('{') {
            Some(name) => {
                let (name, after) = name
                    .split_once('}')
                    .ok_or("`${` is not closed by a `}`; a dollar is written `$$`")?;
                let fine = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
                if !fine {
                    return Err(format!(
                        "`${{{name}}}` names no environment variable; a dollar is written `$$`"
                    ));
                }
                let value = env(name)
                    .ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
                out.push_str(&value);
                vars = Vars::Some;
                after
            }
            None => {
                out.push('$');
                behind.strip_prefix('$').unwrap_or(behind)
            }
        };
    }
    out.push_str(rest);
    Ok((out, vars))
}

#[cfg(test)]
mod tests {
    use super::super::node::show;
    use super::super::yaml::parse;
    use super::*;

    #[test]
    fn variables_are_put_in_before_the_value_is_typed() {
        let env = |name: &str| match name {
            "N" => Some("5".to_owned()),
            "PW" => Some("${N}$$x".to_owned()),
            _ => None,
        };
        for (text, want) in [
            ("${N}", "filled \"5\""),
            ("\"${N}s\"", "filled \"5s\""),
            ("'${PW}'", "filled \"${N}$$x\""),
            ("a$$b", "\"a$b\""),
            ("a$b$", "\"a$b$\""),
            ("$${N}", "\"${N}\""),
            ("${N", "broken"),
            ("${}", "broken"),
            ("${A-b}", "broken"),
            ("${UNSET}", "broken"),
        ] {
            let mut node = parse(&format!("a: {text}\n")).unwrap();
            let faults = fill(&mut node, &env);
            assert_eq!(show(&node), format!("1:1 {{1:1 \"a\" = 1:4 {want}}}"));
            assert_eq!(faults.is_empty(), want != "broken");
        }
    }
}
