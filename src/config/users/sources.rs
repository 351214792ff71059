//! Whether anything says where users go.

use crate::config::check::Report;
use crate::config::listeners::Listener;
use crate::config::node::{Kind, Node};
use crate::config::problem::Code;
use crate::config::raw::Raw;

/// Without a map, a login of a listener that has no backend of its own could go nowhere.
pub(in crate::config) fn sources(listeners: &[Listener], root: Raw<'_>, report: &mut Report<'_>) {
    let (users, from) = (root.get("users"), root.get("users_from"));
    let all_pinned = listeners.iter().all(|it| it.config.backend.is_some());
    let misspelt = report.misspelt("users", 0) || report.misspelt("users_from", 0);
    if all_pinned || misspelt || !root.is_map() {
        return;
    }
    let at = match (users.is_there(), from.is_there()) {
        (true, _) => users,
        (false, true) => from,
        (false, false) => {
            let expected = "expected `users`: a map of users to backends, like `\"*\": NAME`";
            report.say(root.mark(), Code::E012, "`users` is missing", expected);
            return;
        }
    };
    // Who asks for a server's name may have a backend by that.
    let by_map = |it: &Listener| it.config.backend.is_none() && it.config.server_names.is_empty();
    if holds_nothing(users.node()) && holds_nothing(from.node()) && listeners.iter().any(by_map) {
        let message = "no login could go anywhere: there is neither an entry nor a source of users";
        let expected = "expected an entry of `users`, like `\"*\": NAME`";
        report.say(at.mark(), Code::E015, message, expected);
    }
}

fn holds_nothing(node: Option<&Node>) -> bool {
    match node.map(|node| &node.kind) {
        None => true,
        Some(Kind::Map(entries)) => entries.is_empty(),
        Some(Kind::List(items)) => items.is_empty(),
        Some(_) => false,
    }
}
