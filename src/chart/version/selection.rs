//! From what the user asked for to one tag (Helm: `ValidateReference`, `Tags`, the tag filter).

use super::{Constraint, Version};
use crate::chart::{ChartReference, Digest};
use crate::error::{Error, Result};

/// How the manifest of a reference is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// By digest. A tag that was given too should still lead to that digest (Helm ignores one that is
    /// missing); a constraint that was given too must admit the version of the chart.
    Digest {
        /// The digest of the manifest.
        digest: Digest,
        /// The tag that was given besides, in the form of the wire.
        tag: Option<String>,
        /// The constraint that was given besides.
        constraint: Option<Constraint>,
    },
    /// By the highest tag that satisfies a constraint: the tag list is needed; see [`select`].
    Newest(Constraint),
    /// By this tag, in the form of the wire, without listing.
    Tag(String),
}

/// Combines a reference with `--version` and `--devel`.
///
/// A tag in the reference is taken as it is, whatever it says. `--version` is a tag if it is a version
/// (`1`, `1.4` and `v1.4.2` included), else a constraint; an empty one asks for the newest.
///
/// # Errors
/// A usage error if tag and version differ, or for an improper constraint.
pub fn lookup(reference: &ChartReference, version: Option<&str>, devel: bool) -> Result<Lookup> {
    let (tag, constraint) = match (reference.tag.clone(), version.unwrap_or_default()) {
        (tag, "") => (tag, None),
        (None, version) if is_exact(version) => (Some(version.replace('+', "_")), None),
        (None, version) => (None, Some(Constraint::parse(version)?)),
        (Some(tag), version) if version.replace('+', "_") == tag => (Some(tag), None),
        (Some(tag), version) => {
            return Err(Error::usage("chart reference and version mismatch")
                .line("reference", tag.replace('_', "+"))
                .line("--version", version));
        }
    };
    Ok(match (reference.digest, tag, constraint) {
        (Some(digest), tag, constraint) => Lookup::Digest { digest, tag, constraint },
        (None, Some(tag), _) => Lookup::Tag(tag),
        (None, None, Some(constraint)) => Lookup::Newest(constraint),
        (None, None, None) => Lookup::Newest(default_constraint(devel)?),
    })
}

/// Whether `--version` names one tag, so that no list is needed: it parses as a version, leniently.
/// The form that `helm push` prints (`1.3.0_build.5`) counts too.
pub fn is_exact(version: &str) -> bool {
    Version::parse(&version.replace('_', "+")).is_ok()
}

/// The tag that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The tag as it stands in the list.
    pub tag: String,
    /// The version it stands for: `_` read as `+`.
    pub version: String,
}

/// Chooses a tag by Helm's rules: only X.Y.Z tags take part (`_` for `+`; `latest`, `v1.2.3`, `sha256-…` do
/// not); a tag that is the text itself comes first, then the highest that satisfies the constraint. An empty
/// constraint means the newest, without pre-releases unless `devel`.
///
/// # Errors
/// Not found if there is no such tag at all, or none that satisfies; a usage error for an improper
/// constraint.
pub fn select(tags: &[String], constraint: &str, devel: bool) -> Result<Selected> {
    if !constraint.is_empty()
        && let Some(exact) = candidates(tags).find(|(_, text, _)| text == constraint)
    {
        return Ok(Selected { tag: exact.0.clone(), version: exact.1 });
    }
    let parsed = match constraint {
        "" => default_constraint(devel)?,
        text => Constraint::parse(text)?,
    };
    parsed.select(tags)
}

/// The tags that are versions, newest first, at most `count` of them.
pub fn newest_first(tags: &[String], count: usize) -> Vec<String> {
    let mut found: Vec<_> = candidates(tags).collect();
    found.sort_by(|a, b| b.2.choice_order(&a.2));
    found.into_iter().take(count).map(|(tag, _, _)| tag.clone()).collect()
}

impl Constraint {
    /// The highest X.Y.Z tag that satisfies the constraint; see [`select`].
    ///
    /// # Errors
    /// Not found if there is no such tag at all, or none that satisfies.
    pub fn select(&self, tags: &[String]) -> Result<Selected> {
        let mut any = false;
        let mut best: Option<(&String, String, Version)> = None;
        for candidate in candidates(tags) {
            any = true;
            let better = best.as_ref().is_none_or(|best| candidate.2.choice_order(&best.2).is_gt());
            if better && self.check(&candidate.2) {
                best = Some(candidate);
            }
        }
        match best {
            Some((tag, version, _)) => Ok(Selected { tag: tag.clone(), version }),
            None if any => Err(Error::not_found("no matching version")
                .cause(format!("no tag satisfies {:?}", self.text()))),
            None => Err(Error::not_found("no versions").cause("no tag is of the form X.Y.Z")),
        }
    }
}

fn default_constraint(devel: bool) -> Result<Constraint> {
    Constraint::parse(if devel { ">0.0.0-0" } else { "*" })
}

/// The tags that are versions: as listed, as text, parsed.
fn candidates(tags: &[String]) -> impl Iterator<Item = (&String, String, Version)> {
    tags.iter().filter_map(|tag| {
        let text = tag.replace('_', "+");
        let version = Version::parse_strict(&text).ok()?;
        Some((tag, text, version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Class, Reason};

    fn tags(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|tag| (*tag).to_owned()).collect()
    }

    #[test]
    fn chooses_as_helm_does() {
        let digest = "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let list = tags(&[
            "1.0.0",
            "1.4.2",
            "1.10.0",
            "2.0.0-rc.1",
            "1.3.0_build.5",
            "0.9.0",
            "latest",
            "v3.0.0",
            "9",
            "1.4",
            digest,
            &format!("{digest}.sig"),
        ]);
        for (constraint, devel, tag, version) in [
            ("", false, "1.10.0", "1.10.0"),
            ("", true, "2.0.0-rc.1", "2.0.0-rc.1"),
            ("^1", false, "1.10.0", "1.10.0"),
            ("^1", true, "1.10.0", "1.10.0"),
            ("~1.4", false, "1.4.2", "1.4.2"),
            ("<1", false, "0.9.0", "0.9.0"),
            (">=1.0.0-0", false, "2.0.0-rc.1", "2.0.0-rc.1"),
            ("1.3.0+build.5", false, "1.3.0_build.5", "1.3.0+build.5"),
            ("1.3.x", false, "1.3.0_build.5", "1.3.0+build.5"),
            ("0.9.0 || 1.0.0", false, "1.0.0", "1.0.0"),
        ] {
            let selected = select(&list, constraint, devel).unwrap();
            assert_eq!(
                (selected.tag.as_str(), selected.version.as_str()),
                (tag, version),
                "{constraint}"
            );
        }
    }

    #[test]
    fn the_choice_does_not_depend_on_the_order_of_the_list() {
        for list in [["1.0.0_a", "1.0.0_b", "1.0.0"], ["1.0.0", "1.0.0_b", "1.0.0_a"]] {
            assert_eq!(select(&tags(&list), "", false).unwrap().tag, "1.0.0_b");
        }
    }

    #[test]
    fn tells_no_versions_from_no_match_from_a_bad_constraint() {
        for (list, constraint, class, what) in [
            (tags(&[]), "", Class::NotFound, "no versions"),
            (tags(&["latest", "v1.0.0"]), "^1", Class::NotFound, "no versions"),
            (tags(&["1.0.0"]), "^2", Class::NotFound, "no matching version"),
            (tags(&["1.0.0-rc"]), "", Class::NotFound, "no matching version"),
            (tags(&["1.0.0"]), "latest", Class::Usage, "improper constraint"),
            (tags(&[]), "latest", Class::Usage, "improper constraint"),
        ] {
            let error = select(&list, constraint, false).unwrap_err();
            assert_eq!((error.class, error.what.as_str()), (class, what), "{constraint}");
        }
        assert_eq!(select(&[], "", false).unwrap_err().reason, Reason::NotFound);
    }

    #[test]
    fn combines_reference_and_version() {
        let digest = Digest::of(b"");
        let tag = |tag: &str| Lookup::Tag(tag.to_owned());
        let newest = |text: &str| Lookup::Newest(Constraint::parse(text).unwrap());
        for (reference, version, devel, expected) in [
            ("ghcr.io/a/web:1.0.0", None, false, tag("1.0.0")),
            ("ghcr.io/a/web:1.0.0", Some(""), false, tag("1.0.0")),
            ("ghcr.io/a/web:1.0.0+b", Some("1.0.0+b"), false, tag("1.0.0_b")),
            ("ghcr.io/a/web:1.0.0_b", Some("1.0.0+b"), false, tag("1.0.0_b")),
            ("ghcr.io/a/web:1.0.0_b", Some("1.0.0_b"), false, tag("1.0.0_b")),
            ("ghcr.io/a/web:latest", None, true, tag("latest")),
            ("ghcr.io/a/web:latest", Some("latest"), false, tag("latest")),
            ("ghcr.io/a/web", Some("1.0.0+b"), false, tag("1.0.0_b")),
            ("ghcr.io/a/web", Some("v1.0.0"), false, tag("v1.0.0")),
            ("ghcr.io/a/web", Some("1.4"), true, tag("1.4")),
            ("ghcr.io/a/web", Some("^1"), false, newest("^1")),
            ("ghcr.io/a/web", None, false, newest("*")),
            ("ghcr.io/a/web", Some(""), true, newest(">0.0.0-0")),
        ] {
            let reference = ChartReference::parse(reference).unwrap();
            let found = lookup(&reference, version, devel).unwrap();
            assert_eq!(found, expected, "{reference} {version:?}");
        }
        let pinned =
            |tag: &str| ChartReference::parse(&format!("ghcr.io/a/web{tag}@{digest}")).unwrap();
        for (tag, version, expected_tag, expected_constraint) in [
            ("", None, None, None),
            (":1.0.0", None, Some("1.0.0"), None),
            ("", Some("1.0.0+b"), Some("1.0.0_b"), None),
            ("", Some("^1"), None, Some("^1")),
        ] {
            let expected = Lookup::Digest {
                digest,
                tag: expected_tag.map(str::to_owned),
                constraint: expected_constraint.map(|text| Constraint::parse(text).unwrap()),
            };
            assert_eq!(lookup(&pinned(tag), version, false).unwrap(), expected);
        }
    }

    #[test]
    fn refuses_a_version_that_contradicts_the_tag() {
        for (reference, version, what) in [
            ("ghcr.io/a/web:1.0.0", "1.0.1", "mismatch"),
            ("ghcr.io/a/web:1.0.0", "v1.0.0", "mismatch"),
            ("ghcr.io/a/web:1.0.0", "^1", "mismatch"),
            ("ghcr.io/a/web:latest", "1.0.0", "mismatch"),
            ("ghcr.io/a/web", "latest", "improper constraint"),
        ] {
            let reference = ChartReference::parse(reference).unwrap();
            let error = lookup(&reference, Some(version), false).unwrap_err();
            assert_eq!(error.class, Class::Usage);
            assert!(error.what.contains(what), "{reference} {version}: {error}");
        }
    }
}
