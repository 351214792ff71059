//! Keys that proxy.yaml may hold by its description and that nothing acts on yet.
//!
//! A file that uses one is refused rather than half obeyed. Whoever builds a feature takes its line
//! out of this list.

/// The place of a key in the description, and what is not there yet. `*` stands for any name of a
/// free map, `[]` for the elements of a list. A value that is pending only for some of its words is
/// refused where it is read; [`SUBMISSION`] names those.
pub(super) const NOT_YET: &[(&str, &str)] = &[(
    "backends.*.login_as.oauth2",
    "logging in to hosts by a token",
)];

/// Listeners, endpoints and `protocols:` of mail submission.
pub(super) const SUBMISSION: Option<&str> = Some("submission");

/// What is not there yet at a place.
pub(super) fn pending(place: &str) -> Option<&'static str> {
    NOT_YET
        .iter()
        .find(|(key, _)| *key == place)
        .map(|(_, what)| *what)
}
