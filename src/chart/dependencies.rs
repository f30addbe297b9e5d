//! The dependencies that a chart declares, as far as Helm refuses to load it for them: an alias becomes part of a path
//! when charts are unpacked (CVE-2020-15184), and two of one name would be one chart.
//!
//! Helm 3 and 4 read `Chart.yaml`, then `requirements.yaml` into the same list, and check what comes of both.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::metadata::Scalar;
use super::sanitise::sanitise;
use super::strict::{Depth, StrictKeys};

const KEYS: StrictKeys = StrictKeys { known: &["alias", "name"], depth: Depth::Top, merge: true };

/// What a document says of dependencies.
#[derive(Default)]
pub(super) enum Dependencies {
    /// Nothing.
    #[default]
    Unsaid,
    /// These; an entry may be empty.
    Said(Vec<Option<Dependency>>),
}

/// One of them. What is absent, or null, leaves standing what was said before.
#[derive(Clone, Default)]
pub(super) struct Dependency {
    name: Option<String>,
    alias: Option<String>,
}

impl Dependency {
    fn say(&mut self, later: Self) {
        self.name = later.name.or(self.name.take());
        self.alias = later.alias.or(self.alias.take());
    }
}

impl Dependencies {
    /// What stands when `later` was read into the same list: Go's JSON reader, which Helm uses, fills what lies at the
    /// same place of a list that is there already.
    pub(super) fn then(self, later: Self) -> Self {
        match (self, later) {
            (earlier, Self::Unsaid) => earlier,
            (Self::Unsaid, later) => later,
            (Self::Said(earlier), Self::Said(later)) => {
                let mut earlier = earlier.into_iter();
                let merged = later.into_iter().map(|entry| {
                    let before = earlier.next().flatten();
                    entry.map(|entry| {
                        let mut merged = before.unwrap_or_default();
                        merged.say(entry);
                        merged
                    })
                });
                Self::Said(merged.collect())
            }
        }
    }

    /// Checks them as Helm does (`Metadata.Validate`).
    pub(super) fn check(self) -> Result<(), String> {
        let Self::Said(entries) = self else { return Ok(()) };
        let mut seen = HashSet::new();
        for entry in entries {
            let Some(Dependency { name, alias }) = entry else {
                return Err("there is an empty entry among the dependencies".to_owned());
            };
            let name = sanitise(&name.unwrap_or_default());
            let alias = alias.unwrap_or_default();
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
            if !alias.bytes().all(allowed) {
                return Err(format!(
                    "alias {:?} of dependency {:?} holds more than letters, digits, '_' and '-'",
                    shown(&alias),
                    shown(&name)
                ));
            }
            let called = if alias.is_empty() { name } else { alias };
            if let Some(twice) = seen.replace(called) {
                let twice = shown(&twice);
                return Err(format!("more than one dependency has the name or alias {twice:?}"));
            }
        }
        Ok(())
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

impl<'de> Deserialize<'de> for Dependencies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Dependencies;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of dependencies")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dependencies, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    entries.push(entry);
                }
                Ok(Dependencies::Said(entries))
            }

            fn visit_unit<E>(self) -> Result<Dependencies, E> {
                Ok(Dependencies::Said(Vec::new()))
            }

            fn visit_none<E>(self) -> Result<Dependencies, E> {
                Ok(Dependencies::Said(Vec::new()))
            }
        }
        deserializer.deserialize_any(List)
    }
}

/// What stands in a mapping, in its order: a merge key replaces what stands before it, as in Helm's YAML reader.
struct Entry;

impl<'de> Visitor<'de> for Entry {
    type Value = Dependency;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dependency")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Dependency, A::Error> {
        let mut found = Dependency::default();
        while let Some(Scalar(key)) = map.next_key()? {
            if let Some(known) = KEYS.confusable(&key) {
                return Err(de::Error::custom(format!(
                    "key {key:?} would be read as {known:?} by some and not by others"
                )));
            }
            match key.as_str() {
                "name" => found.name = text(&mut map)?.or(found.name),
                "alias" => found.alias = text(&mut map)?.or(found.alias),
                "<<" => found.say(map.next_value::<Merged>()?.0),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    Ok(map.next_value::<Option<Scalar>>()?.map(|Scalar(text)| text))
}

impl<'de> Deserialize<'de> for Dependency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entry)
    }
}

/// What a merge key stands for: a mapping, or several of which an earlier one wins.
struct Merged(Dependency);

impl<'de> Deserialize<'de> for Merged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Merged;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping, or several")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Merged, A::Error> {
                Entry.visit_map(map).map(Merged)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Merged, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element::<Dependency>()? {
                    all.push(one);
                }
                let mut merged = Dependency::default();
                all.into_iter().rev().for_each(|one| merged.say(one));
                Ok(Merged(merged))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Document {
        #[serde(default)]
        dependencies: Dependencies,
    }

    fn read(yaml: &str) -> Result<Dependencies, String> {
        super::super::metadata::yaml::<Document>(yaml).map(|document| document.dependencies)
    }

    fn check(yaml: &str) -> Result<(), String> {
        read(yaml)?.check()
    }

    /// Each as Helm answered it, by `tests/interop/archives`.
    #[test]
    fn dependencies_are_judged_as_helm_judges_them() {
        for (yaml, good) in [
            ("name: web", true),
            ("dependencies:", true),
            ("dependencies: []", true),
            ("dependencies: [{name: x}, {name: y}]", true),
            ("dependencies: [{name: x, alias: a_-9}, {name: x, alias: b}, {name: x}]", true),
            ("dependencies: [{name: x, alias: ''}, {name: y, alias: null}]", true),
            ("dependencies: [{name: 'a/../b', version: 1, tags: [a], enabled: true}]", true),
            ("dependencies: [{name: x, alias: '../../x'}]", false),
            ("dependencies: [{name: x, alias: a.b}]", false),
            ("dependencies: [{name: x, alias: 'a b'}]", false),
            ("dependencies: [{name: x, alias: \"a\\n\"}]", false),
            ("dependencies: [{name: x, alias: é}]", false),
            ("dependencies: [{name: x, alias: 7}]", true),
            ("dependencies: [{name: x, alias: 1.5}]", false),
            ("dependencies: [{name: x, alias: [a]}]", false),
            ("dependencies: [{name: x}, {name: x}]", false),
            ("dependencies: [{name: x}, {name: y, alias: x}]", false),
            ("dependencies: [{name: x, alias: y}, {name: y}]", false),
            ("dependencies: [{name: x, alias: z}, {name: y, alias: z}]", false),
            ("dependencies: [{version: 1.0.0}]", true),
            ("dependencies: [{version: 1.0.0}, {version: 2.0.0}]", false),
            ("dependencies: [{name: \"x\\u200b\"}, {name: x}]", false),
            ("dependencies: [{name: x}, null]", false),
            ("dependencies: [x]", false),
            ("dependencies: {name: x}", false),
            ("dependencies: x", false),
            ("dependencies: [{7: a, true: b, name: x}]", true),
            // A common part, as people write it.
            ("dependencies: [&a {name: x, version: 1}, {<<: *a, alias: y}]", true),
            ("dependencies: [&a {name: x, version: 1}, {<<: *a, version: 2}]", false),
            ("base: &a {alias: ../x}\ndependencies: [{name: x, <<: *a}]", false),
            ("base: &a {alias: ../x}\ndependencies: [{<<: *a, name: x, alias: y}]", true),
            ("base: &a {alias: ../x}\ndependencies: [{alias: y, <<: *a, name: x}]", false),
            ("a: &a {alias: y}\nb: &b {alias: ../x}\ndependencies: [{<<: [*a, *b]}]", true),
            ("a: &a {alias: y}\nb: &b {alias: ../x}\ndependencies: [{<<: [*b, *a]}]", false),
        ] {
            assert_eq!(check(yaml).is_ok(), good, "{yaml}: {:?}", check(yaml));
        }
        // Helm takes it for the alias.
        assert!(check("dependencies: [{name: x, Alias: y}]").is_err());
    }

    #[test]
    fn the_list_of_requirements_is_read_over_that_of_the_chart() {
        let both = |chart: &str, requirements: &str| {
            read(chart).unwrap().then(read(requirements).unwrap()).check()
        };
        let of = |list: &str| format!("dependencies: {list}");
        for (chart, requirements, good) in [
            (of("[{name: x}]"), String::from("other: 1"), true),
            (of("[{name: x}]"), of("[{name: x}]"), true),
            (of("[{name: x}]"), of("[{name: y}, {name: x}]"), true),
            (of("[{name: x}]"), of("[{name: y}, {name: y}]"), false),
            // What is not said again stands.
            (of("[{name: x, alias: ../y}]"), of("[{name: x}]"), false),
            (of("[{name: x, alias: ../y}]"), of("[{name: x, alias: y}]"), true),
            (of("[{name: x, alias: ../y}]"), of("[{name: x, alias: null}]"), false),
            (of("[{name: x, alias: y}, {name: x}]"), of("[{version: 1}, {name: y}]"), false),
            // What is behind the end of the later list is gone.
            (of("[{name: x}, {alias: ../y}]"), of("[{name: x}]"), true),
            (of("[{alias: ../y}]"), of("null"), true),
            (of("[{name: x}]"), of("[null]"), false),
            (String::from("a: 1"), of("[{name: x, alias: ../y}]"), false),
        ] {
            assert_eq!(both(&chart, &requirements).is_ok(), good, "{chart} {requirements}");
        }
    }
}
