//! JSON Schemas of the parameters of built-ins, made of the types that serde reads.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Types of a value that may be anything but null.
pub(crate) const ANY: [&str; 5] = ["string", "number", "boolean", "object", "array"];

/// The schema of what serde reads as `T`, in JSON Schema 2020-12, without references to other schemas.
pub(crate) fn of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema
}

/// The schema of an object with a member that is not null.
pub(crate) fn present(name: &str) -> serde_json::Value {
    serde_json::json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}})
}

/// A type that serde reads from one of these names, in capital letters or small ones.
pub(crate) trait Caseless {
    const NAMES: &'static [&'static str];
}

/// The schema of one of these names: the usual spelling, which editors show, or any other.
fn caseless(names: &[&str]) -> Schema {
    let spellings: Vec<String> = names.iter().map(|name| spelling(name)).collect();
    let pattern = format!("^({})$", spellings.join("|"));
    json_schema!({"anyOf": [{"enum": names}, {"type": "string", "pattern": pattern}]})
}

/// An expression of a name in any case.
fn spelling(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            c if c.is_ascii_alphabetic() => format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()),
            '.' => r"\.".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

/// Stands for `T` where a schema is derived.
pub(crate) struct Spelled<T>(std::marker::PhantomData<T>);

impl<T: Caseless> JsonSchema for Spelled<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(T::NAMES.join("_or_"))
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        caseless(T::NAMES)
    }
}
