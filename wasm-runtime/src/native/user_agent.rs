//! `user_agent`: browser, system and device behind a User-Agent (crate `ua-parser`, with uap-core's expressions).

use std::sync::LazyLock;

use serde::Deserialize;
use ua_parser::{Extractor, Regexes};

use super::{Function, Parameters, field};
use crate::document::Meta;
use crate::effect::Effect;
use crate::error::Fault;
use crate::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserAgent {
    field: String,
    #[serde(default = "target")]
    target_field: String,
    #[serde(default = "all")]
    properties: Vec<Property>,
    #[serde(default)]
    ignore_missing: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Property {
    Name,
    Version,
    Os,
    Device,
    Original,
}

/// Longer documents are worked on aside: hundreds of expressions are put to a text.
const LONGEST: usize = 4096;

fn target() -> String {
    "user_agent".to_owned()
}

fn all() -> Vec<Property> {
    vec![Property::Name, Property::Version, Property::Os, Property::Device, Property::Original]
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
        EXTRACTOR.as_ref().map(|_| ()).map_err(Clone::clone)
    }
}

/// `major.minor.patch.build`, as far as they are known one after the other.
fn version(parts: [Option<&str>; 4]) -> Option<String> {
    let known: Vec<&str> = parts.into_iter().map_while(|part| part.filter(|p| !p.is_empty())).collect();
    (!known.is_empty()).then(|| known.join("."))
}

impl UserAgent {
    fn described(&self, agent: &str) -> Vec<u8> {
        let mut out = b"{}".to_vec();
        let Ok(extractor) = EXTRACTOR.as_ref() else { return out };
        let (browser, system, device) = extractor.extract(agent);
        let mut put = |name: &str, value: &[u8]| out = json::insert_member(&out, 0, name, value);
        let wants = |property| self.properties.contains(&property);
        if wants(Property::Original) {
            put("original", &json::quote(agent));
        }
        if wants(Property::Name) {
            put("name", &json::quote(browser.as_ref().map_or("Other", |b| &b.family)));
        }
        if wants(Property::Version)
            && let Some(text) = browser.as_ref().and_then(|b| version([b.major, b.minor, b.patch, b.patch_minor]))
        {
            put("version", &json::quote(&text));
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
            put("os", &os);
        }
        if wants(Property::Device) {
            let name = device.as_ref().map_or("Other", |d| &d.device);
            put("device", &json::insert_member(b"{}", 0, "name", &json::quote(name)));
        }
        out
    }
}

impl Function for UserAgent {
    fn apply(&self, text: &[u8], _meta: &mut Meta) -> Result<Effect, Fault> {
        let place = field::Place::new(&self.field, None, self.ignore_missing);
        match place.text(text, "cannot parse user-agent.")? {
            Some(agent) => field::change(text, &self.target_field, &self.described(&agent)),
            None => Ok(Effect::Unchanged),
        }
    }

    fn longest(&self) -> usize {
        LONGEST
    }
}
