//! Which series are shown: those whose names are in the settings of the moment, and of hosts that are
//! found by name those that are in use.
//!
//! A series lives as long as the process, since its handles do. Of a listener, backend, host or
//! certificate that a reload took out nothing is shown any more, but for gauges that still count
//! sessions which go on. Should the name come back, its counters go on.

use std::borrow::Cow;
use std::collections::HashSet;

use super::handles::OTHER;

/// The names that may stand in labels.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// Listeners.
    pub listeners: HashSet<String>,
    /// Backends.
    pub backends: HashSet<String>,
    /// Hosts, each with its backend: `(backend, host)`. A backend that is not the first of any pair
    /// has its hosts from elsewhere: those are shown that are up or down, not those that have gone.
    pub hosts: HashSet<(String, String)>,
    /// Certificates.
    pub certificates: HashSet<String>,
}

impl Present {
    /// The lines of an exposition without those of names that are gone.
    pub(super) fn keep(&self, text: &str) -> String {
        let mut kept = String::with_capacity(text.len());
        let gone: HashSet<_> = text.lines().filter_map(gone).collect();
        for line in text.split_inclusive('\n') {
            if self.shows(line, &gone) {
                kept.push_str(line);
            }
        }
        kept
    }

    fn shows(&self, line: &str, gone: &HashSet<(String, String)>) -> bool {
        let Some((name, rest)) = line.split_once('{') else {
            return true;
        };
        if name.starts_with('#') {
            return true;
        }
        let (labels, value) = labels(rest);
        let of = |name: &str| {
            let label = labels.iter().find(|(label, _)| *label == name);
            label.map(|(_, value)| value.as_ref())
        };
        let here = match name {
            "gatepost_certificate_expiry_timestamp_seconds" => {
                of("name").is_none_or(|it| self.certificates.contains(it))
            }
            _ => {
                of("listener").is_none_or(|it| self.listeners.contains(it))
                    && of("backend").is_none_or(|backend| {
                        self.backends.contains(backend)
                            && of("host").is_none_or(|host| {
                                self.has_host(backend, host)
                                    && !gone.contains(&(backend.to_owned(), host.to_owned()))
                            })
                    })
            }
        };
        let counts_sessions = matches!(name, "gatepost_sessions" | "gatepost_host_sessions");
        here || (counts_sessions && value.trim() != "0")
    }

    fn has_host(&self, backend: &str, host: &str) -> bool {
        let found = |(of, name): &(String, String)| of == backend && name == host;
        host == OTHER
            || self.hosts.iter().any(found)
            || !self.hosts.iter().any(|(of, _)| of == backend)
    }
}

/// The backend and the host of a line that says that a host is neither up nor down.
fn gone(line: &str) -> Option<(String, String)> {
    let (labels, value) = labels(line.strip_prefix("gatepost_host_up{")?);
    let of = |name: &str| {
        let (_, value) = labels.iter().find(|(label, _)| *label == name)?;
        Some(value.to_string())
    };
    (value.trim() == "NaN").then(|| Some((of("backend")?, of("host")?)))?
}

/// Labels up to the closing brace, and what follows it. The text is our own exporter's.
fn labels(mut rest: &str) -> (Vec<(&str, Cow<'_, str>)>, &str) {
    let mut labels = Vec::new();
    while let Some((name, behind)) = rest.split_once("=\"") {
        let Some(end) = closing_quote(behind) else {
            break;
        };
        let (value, behind) = behind.split_at(end);
        labels.push((name.trim_start_matches(','), unescaped(value)));
        rest = behind.strip_prefix('"').unwrap_or_default();
        if let Some(value) = rest.strip_prefix('}') {
            return (labels, value);
        }
    }
    (labels, "")
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_were_found_by_name_are_shown_while_they_are_in_use() {
        let present = Present {
            backends: ["found".to_owned()].into(),
            ..Present::default()
        };
        let series = |host: &str, up: &str, sessions: u32| {
            let labels = format!("{{backend=\"found\",host=\"{host}\"}}");
            format!(
                "gatepost_host_up{labels} {up}\ngatepost_host_sessions{labels} {sessions}\n\
                 gatepost_host_logins_total{labels} 7\n"
            )
        };
        let (here, down) = (series("a", "1", 0), series("b", "0", 0));
        let together = "gatepost_host_sessions{backend=\"found\",host=\"other\"} 0\n";
        let text = format!("{here}{}{down}{together}", series("c", "NaN", 0));
        assert_eq!(present.keep(&text), format!("{here}{down}{together}"));
        // Sessions go on that began before.
        let kept = present.keep(&series("d", "NaN", 2));
        assert_eq!(
            kept,
            "gatepost_host_sessions{backend=\"found\",host=\"d\"} 2\n"
        );
    }

    #[test]
    fn series_of_names_that_are_gone_are_not_shown() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let present = Present {
            listeners: names(&["imap://127.0.0.1:143", "a \"quoted\" \\ one"]),
            backends: names(&["old", "found"]),
            hosts: [("old".to_owned(), "h1".to_owned())].into(),
            certificates: names(&["/tls.crt"]),
        };
        for (line, shown) in [
            ("# HELP gatepost_sessions {x}", true),
            ("gatepost_log_dropped_total 0", true),
            ("gatepost_refused_total{reason=\"allow\"} 0", true),
            (
                "gatepost_connections_total{listener=\"imap://127.0.0.1:143\"} 3",
                true,
            ),
            (
                "gatepost_connections_total{listener=\"a \\\"quoted\\\" \\\\ one\"} 3",
                true,
            ),
            ("gatepost_connections_total{listener=\"gone\"} 3", false),
            (
                "gatepost_sessions{protocol=\"imap\",backend=\"old\"} 0",
                true,
            ),
            (
                "gatepost_sessions{protocol=\"imap\",backend=\"gone\"} 0",
                false,
            ),
            (
                "gatepost_sessions{protocol=\"imap\",backend=\"gone\"} 2",
                true,
            ),
            ("gatepost_host_up{backend=\"old\",host=\"h1\"} 1", true),
            ("gatepost_host_up{backend=\"old\",host=\"h2\"} 1", false),
            ("gatepost_host_up{backend=\"gone\",host=\"h1\"} 1", false),
            ("gatepost_host_up{backend=\"found\",host=\"any\"} 1", true),
            (
                "gatepost_host_sessions{backend=\"old\",host=\"h2\"} 0",
                false,
            ),
            (
                "gatepost_host_sessions{backend=\"old\",host=\"h2\"} 1",
                true,
            ),
            (
                "gatepost_backend_connect_seconds_bucket{backend=\"gone\",le=\"1\"} 4",
                false,
            ),
            (
                "gatepost_backend_connect_seconds_bucket{backend=\"old\",le=\"1\"} 4",
                true,
            ),
            (
                "gatepost_certificate_expiry_timestamp_seconds{name=\"/tls.crt\"} 4",
                true,
            ),
            (
                "gatepost_certificate_expiry_timestamp_seconds{name=\"/old.crt\"} 4",
                false,
            ),
        ] {
            let text = format!("{line}\n");
            assert_eq!(
                present.keep(&text),
                if shown { text.as_str() } else { "" },
                "{line}"
            );
        }
    }
}
