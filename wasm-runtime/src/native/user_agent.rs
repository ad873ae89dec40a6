//! `user_agent`: browser, system and device behind a User-Agent (crate `ua-parser`, with uap-core's expressions).

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;
use ua_parser::{Extractor, Regexes};

use super::support::field;
use super::support::function::{Function, Parameters};
use super::support::rewrite::FieldRewrite;
use super::support::schema::{Caseless, Spelled};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Reads browser, system and device out of a user agent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserAgent {
    /// The field that is read, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The object that gets the result.
    #[serde(default = "target")]
    #[schemars(length(min = 1))]
    target_field: String,
    /// The members of the result; default: all.
    #[serde(default, deserialize_with = "properties")]
    #[schemars(with = "Option<Vec<Spelled<Property>>>")]
    properties: Option<Vec<Property>>,
    /// Whether a document without the field stays as it is, in place of failing.
    #[serde(default)]
    ignore_missing: bool,
    /// Whether members are those of the Elastic Common Schema.
    #[serde(default = "super::support::function::yes")]
    ecs: bool,
    /// The file of expressions; there is only the built-in one.
    #[schemars(extend("enum" = ["_default_", null]))]
    regex_file: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Property {
    Name,
    Version,
    Os,
    Device,
    Original,
    // Of the older format.
    Major,
    Minor,
    Patch,
    Build,
    #[serde(rename = "os_name")]
    OsName,
    #[serde(rename = "os_major")]
    OsMajor,
    #[serde(rename = "os_minor")]
    OsMinor,
}

/// Bytes of the longest document that is worked on without a thread of its own: each agent is matched by hundreds of
/// expressions.
const LONGEST: usize = 4096;

fn target() -> String {
    "user_agent".to_owned()
}

impl Caseless for Property {
    const NAMES: &'static [&'static str] = &[
        "name", "version", "os", "device", "original", "major", "minor", "patch", "build", "os_name", "os_major",
        "os_minor",
    ];
}

/// Names of properties, in small letters or not.
fn properties<'de, D: serde::Deserializer<'de>>(given: D) -> Result<Option<Vec<Property>>, D::Error> {
    let names: Option<Vec<String>> = Deserialize::deserialize(given)?;
    let read = |name: String| {
        let text = serde_json::Value::String(name.to_lowercase());
        serde_json::from_value(text).map_err(|_| serde::de::Error::custom(format!("illegal property value [{name}]")))
    };
    names.map(|names| names.into_iter().map(read).collect()).transpose()
}

/// The expressions, compiled when the first pipeline asks for them.
static EXTRACTOR: LazyLock<Result<Extractor<'static>, String>> = LazyLock::new(|| {
    let regexes: Regexes<'static> =
        serde_yaml_ng::from_str(include_str!("../../data/user_agents.yaml")).map_err(|e| e.to_string())?;
    Extractor::try_from(regexes).map_err(|e| e.to_string())
});

impl Parameters for UserAgent {
    fn prepare(&mut self) -> Result<(), String> {
        self.field = field::checked("field", &self.field)?;
        self.target_field = field::checked("target_field", &self.target_field)?;
        if let Some(file) = self.regex_file.as_deref().filter(|file| *file != "_default_") {
            return Err(format!("[regex_file] regex file [{file}] doesn't exist (there is only [_default_])"));
        }
        EXTRACTOR.as_ref().map(|_| ()).map_err(Clone::clone)
    }
}

/// `major.minor.patch.build`, as far as they are given one after the other.
fn version(parts: [Option<&str>; 4]) -> Option<String> {
    let given: Vec<&str> = parts.into_iter().map_while(|part| part.filter(|p| !p.is_empty())).collect();
    (!given.is_empty()).then(|| given.join("."))
}

impl UserAgent {
    fn described(&self, agent: &str) -> Vec<u8> {
        let mut out = b"{}".to_vec();
        let Ok(extractor) = EXTRACTOR.as_ref() else { return out };
        let (browser, system, device) = extractor.extract(agent);
        let mut add = |name: &str, value: &[u8]| out = json::insert_member(&out, 0, name, value);
        let wants = |property| self.wants(property);
        if wants(Property::Original) {
            add("original", &json::quote(agent));
        }
        if wants(Property::Name) {
            add("name", &json::quote(browser.as_ref().map_or("Other", |b| &b.family)));
        }
        if wants(Property::Version)
            && let Some(text) = browser.as_ref().and_then(|b| version([b.major, b.minor, b.patch, b.patch_minor]))
        {
            add("version", &json::quote(&text));
        }
        if wants(Property::Os)
            && let Some(system) = system
        {
            let parts = [&system.major, &system.minor, &system.patch, &system.patch_minor];
            let text = version(parts.map(|part| part.as_deref()));
            let mut os = json::insert_member(b"{}", 0, "name", &json::quote(&system.os));
            if let Some(text) = text {
                os = json::insert_member(&os, 0, "version", &json::quote(&text));
                os = json::insert_member(&os, 0, "full", &json::quote(&format!("{} {text}", system.os)));
            }
            add("os", &os);
        }
        if wants(Property::Device) {
            let name = device.as_ref().map_or("Other", |d| &d.device);
            add("device", &json::insert_member(b"{}", 0, "name", &json::quote(name)));
        }
        out
    }
}

impl UserAgent {
    fn wants(&self, property: Property) -> bool {
        self.properties.as_ref().is_none_or(|properties| properties.contains(&property))
    }

    /// The members of the older format, all of them texts.
    fn described_in_parts(&self, agent: &str) -> Vec<u8> {
        let mut out = b"{}".to_vec();
        let Ok(extractor) = EXTRACTOR.as_ref() else { return out };
        let (browser, system, device) = extractor.extract(agent);
        let mut add = |property, name: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|_| self.wants(property)) {
                out = json::insert_member(&out, 0, name, &json::quote(value));
            }
        };
        add(Property::Name, "name", Some(browser.as_ref().map_or("Other", |b| &b.family)));
        if let Some(b) = &browser {
            add(Property::Major, "major", b.major);
            add(Property::Minor, "minor", b.minor);
            add(Property::Patch, "patch", b.patch);
            add(Property::Build, "build", b.patch_minor);
        }
        let parts = system.as_ref().map(|s| [&s.major, &s.minor, &s.patch, &s.patch_minor].map(|part| part.as_deref()));
        let name = system.as_ref().map_or("Other", |s| &s.os);
        let full = parts.and_then(version).map_or_else(|| name.to_owned(), |version| format!("{name} {version}"));
        add(Property::Os, "os", Some(&full));
        add(Property::OsName, "os_name", Some(name));
        add(Property::OsMajor, "os_major", parts.and_then(|parts| parts[0]));
        add(Property::OsMinor, "os_minor", parts.and_then(|parts| parts[1]));
        add(Property::Device, "device", Some(device.as_ref().map_or("Other", |d| &d.device)));
        out
    }
}

impl Function for UserAgent {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let rewrite = FieldRewrite::new(&self.field, None, self.ignore_missing);
        match rewrite.text(doc, "cannot parse user-agent.")? {
            Some(agent) if self.ecs => field::change(doc, &self.target_field, &self.described(&agent)),
            Some(agent) => field::change(doc, &self.target_field, &self.described_in_parts(&agent)),
            None => Ok(Effect::Unchanged),
        }
    }

    fn longest(&self) -> usize {
        LONGEST
    }
}
