//! Only `admin:` of a file: what a command needs that asks the running gateway.
//!
//! The gateway keeps its old settings while somebody is half through an edit; so must those commands
//! work. Nothing else of the file is looked at, and no map of millions is read.

use std::path::Path;

use super::check::Report;
use super::raw::Raw;
use super::schema::{Keys, ROOT};
use super::{Code, Config, Problems, fill, read, rest, tree};
use crate::admin;

impl Config {
    /// Reads `admin:` of a file; none: it has none. Fails with what is wrong in it, or where the file
    /// is no YAML at all. Blocks on the file system.
    pub fn load_admin(path: &Path) -> Result<Option<admin::Config>, Problems> {
        let Ok(text) = read(path) else {
            // Says why.
            return Config::load(path).map(|(config, _)| config.admin);
        };
        let base = path.parent().unwrap_or(Path::new(""));
        let mut report = Report::new(path.into(), &text, base);
        let Some(mut root) = tree::read(&text, &mut report) else {
            return Err(Problems(report.problems));
        };
        // What stands elsewhere may need quotes or variables that are not set here.
        report.problems.clear();
        let faults = fill::fill(&mut root, &|name| std::env::var(name).ok());
        let Some((key, node)) = root.entry("admin") else {
            return Ok(None);
        };
        if let Some(Keys::Known(keys)) = &ROOT.map
            && let Some(described) = keys.iter().find(|described| described.name == "admin")
        {
            report.shape(node, described.shape, ("admin", key.mark), "admin");
        }
        let admin = rest::admin(Raw::from(&root), &mut report);
        if admin.is_none() && report.problems.is_empty() {
            // What it needs is a variable.
            for (mark, message) in faults {
                let expected = "expected `${NAME}` of a variable that is set";
                report.say(mark, Code::E005, message, expected);
            }
        }
        match report.problems.is_empty() {
            true => Ok(admin),
            false => Err(Problems(report.problems)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, text: &str) -> Result<Option<admin::Config>, Vec<String>> {
        let dir =
            std::env::temp_dir().join(format!("gatepost-admin-only-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("token"), "s3cret\n").unwrap();
        let file = dir.join("proxy.yaml");
        std::fs::write(&file, text).unwrap();
        let loaded = Config::load_admin(&file);
        std::fs::remove_dir_all(&dir).unwrap();
        loaded.map_err(|problems| problems.0.iter().map(|p| p.code.to_string()).collect())
    }

    #[test]
    fn admin_is_read_from_files_that_are_wrong_elsewhere() {
        let text = "listeners: [nonsense]\nbackends:\n  a: ${NOT_SET_ANYWHERE}\nusers:\n  @a.org: b\n\
                    admin: { bind: 0.0.0.0:9090, token_file: token }\n";
        let admin = load("wrong", text).unwrap().unwrap();
        assert_eq!(admin.bind.to_string(), "0.0.0.0:9090");
        assert_eq!(admin.token.unwrap().reveal(), b"s3cret");
        assert_eq!(load("none", "listeners: []\n"), Ok(None));
    }

    #[test]
    fn what_is_wrong_with_admin_is_told() {
        for (name, text, want) in [
            ("bind", "admin: { bind: nowhere }\n", "E020"),
            ("missing", "admin: {}\n", "E012"),
            (
                "file",
                "admin: { bind: 127.0.0.1:1, token_file: gone }\n",
                "E040",
            ),
            ("open", "admin: { bind: 10.0.0.1:1 }\n", "E052"),
            (
                "variable",
                "admin: { bind: \"${NOT_SET_ANYWHERE}\" }\n",
                "E005",
            ),
            ("yaml", "admin: {\n", "E002"),
        ] {
            let codes = load(name, text).unwrap_err();
            assert!(codes.iter().any(|code| code == want), "{name}: {codes:?}");
        }
    }
}
