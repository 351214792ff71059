//! The dashboard: one page and what it loads, all of it in the program. It asks for the token and then reads
//! the API as any other client; in itself it holds no data, so it is open.

use hyper::StatusCode;

use super::http::Reply;

/// What the page may do: load its own files, ask its own origin; nothing inline, no frames around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("index.html");

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the page: its name below `/dashboard/`, its type, its content.
type File = (&'static str, &'static str, &'static str);

static FILES: &[File] = &[
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("style.css"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("main.js", SCRIPT, include_str!("main.js")),
    ("api.js", SCRIPT, include_str!("api.js")),
    ("details.js", SCRIPT, include_str!("details.js")),
    ("dialogs.js", SCRIPT, include_str!("dialogs.js")),
    ("hosts.js", SCRIPT, include_str!("hosts.js")),
    ("metrics.js", SCRIPT, include_str!("metrics.js")),
    ("plot.js", SCRIPT, include_str!("plot.js")),
    ("sessions.js", SCRIPT, include_str!("sessions.js")),
    ("table.js", SCRIPT, include_str!("table.js")),
    ("words.js", SCRIPT, include_str!("words.js")),
];

/// `GET /`
pub(super) fn page() -> Reply {
    dressed("text/html; charset=utf-8", PAGE)
}

/// `GET /dashboard/NAME`
pub(super) fn file(name: &str) -> Reply {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, content_type, content)) => dressed(content_type, content),
        None => Reply::error(StatusCode::NOT_FOUND, "there is nothing at this path"),
    }
}

fn dressed(content_type: &'static str, content: &'static str) -> Reply {
    Reply::text(StatusCode::OK, content_type, content)
        .with("content-security-policy", POLICY)
        .with("referrer-policy", "no-referrer")
        .with("cross-origin-opener-policy", "same-origin")
        .with("cross-origin-resource-policy", "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_the_page_names_is_there() {
        let named = |text: &str, before: &str, after: char| -> Vec<String> {
            let parts = text.split(before).skip(1);
            parts
                .map(|part| part.split(after).next().unwrap().to_owned())
                .collect()
        };
        let mut names = named(PAGE, "\"dashboard/", '"');
        for (_, content_type, content) in FILES {
            if *content_type == SCRIPT {
                names.extend(named(content, "from \"./", '"'));
            }
        }
        assert!(names.len() > FILES.len(), "{names:?}");
        for name in &names {
            assert_eq!(file(name).status(), StatusCode::OK, "{name}");
        }
        for (known, ..) in FILES {
            assert!(
                names.iter().any(|name| name == known),
                "{known} is never loaded"
            );
        }
        assert_eq!(file("mod.rs").status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_page_asks_nobody_else_and_has_nothing_inline() {
        for (name, _, content) in FILES.iter().chain([&("index.html", "", PAGE)]) {
            for outside in [
                "https://",
                "//cdn",
                "@import",
                "url(",
                "eval(",
                "innerHTML",
                " style=\"",
                "onclick=\"",
            ] {
                assert!(!content.contains(outside), "{name} has {outside}");
            }
            let plain = content.replace("http://www.w3.org/2000/svg", "");
            assert!(!plain.contains("http://"), "{name}");
        }
    }
}
