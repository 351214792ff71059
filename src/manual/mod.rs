//! The manual: a topic a file, read by `gatepost help TOPIC` and here.
//!
//! A topic starts with `# its title`. Its `yaml` blocks are proxy.yaml, whole or in part, and are read by
//! a test as `gatepost check` reads them; `values` blocks are values of the Helm chart, which its own
//! checks render. A new topic is a file here and a line in the list below.

mod reader;

pub use reader::{Dress, render};

/// A page of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// As it is asked for: `from-nginx`.
    pub name: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

impl Topic {
    /// All topics, in reading order.
    pub fn all() -> &'static [Topic] {
        TOPICS
    }

    /// The topic of this name.
    pub fn find(name: &str) -> Option<Topic> {
        TOPICS.iter().copied().find(|topic| topic.name == name)
    }

    /// What it is about, in a line.
    pub fn title(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches('#').trim()
    }
}

macro_rules! topics {
    ($($module:ident = $name:literal,)*) => {
        $(
            #[doc = include_str!(concat!($name, ".md"))]
            pub mod $module {}
        )*

        static TOPICS: &[Topic] = &[
            $(Topic { name: $name, text: include_str!(concat!($name, ".md")) },)*
        ];
    };
}

topics! {
    users_map = "users-map",
    tls = "tls",
    pop3 = "pop3",
    limits = "limits",
    reload = "reload",
    upgrade = "upgrade",
    health = "health",
    director = "director",
    kubernetes = "kubernetes",
    from_nginx = "from-nginx",
    from_dovecot_director = "from-dovecot-director",
    from_perdition = "from-perdition",
    from_ingress_nginx = "from-ingress-nginx",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_topic_and_has_a_title() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual");
        let files = std::fs::read_dir(dir).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<_> = names
            .filter_map(|n| Some(n.strip_suffix(".md")?.to_owned()))
            .collect();
        files.sort();
        let mut topics: Vec<_> = Topic::all().iter().map(|t| t.name.to_owned()).collect();
        topics.sort();
        assert_eq!(topics, files);
        for topic in Topic::all() {
            assert!(topic.text.starts_with("# "), "{}", topic.name);
            assert!(
                topic.title().len() <= 70,
                "{}: {}",
                topic.name,
                topic.title()
            );
            assert_eq!(Topic::find(topic.name), Some(*topic));
        }
    }

    #[test]
    fn topics_name_only_topics_that_exist() {
        for topic in Topic::all() {
            for named in topic.text.split("`gatepost help ").skip(1) {
                let name = named.split('`').next().unwrap_or_default();
                assert!(Topic::find(name).is_some(), "{}: {name}", topic.name);
            }
        }
    }
}
