//! `filter_query`: narrows a search by a filter that does not touch its scores.
//!
//! The body's query `q` becomes `{"bool": {"must": [q], "filter": [filter]}}`, as OpenSearch's own processor of this name
//! does it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

/// Adds a filter to the query of a search.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterQuery {
    /// The query that hits have to match, too.
    #[schemars(extend("type" = "object"))]
    query: Box<RawValue>,
}

impl Parameters for FilterQuery {
    fn prepare(&mut self) -> Result<(), String> {
        if self.query.get().starts_with('{') { Ok(()) } else { Err("[query] must be an object".to_owned()) }
    }
}

impl Function for FilterQuery {
    fn apply(&self, doc: DocView<'_>, _meta: &mut Meta) -> Result<Effect, Fault> {
        let text = doc.text();
        let filter = self.query.get();
        let start = json::skip_ws(text, 0);
        let out = match json::get(doc, start, "query") {
            Some(entry) if &text[entry.value.clone()] != b"null" => {
                let mut query = br#"{"bool":{"must":["#.to_vec();
                query.extend_from_slice(&text[entry.value.clone()]);
                query.extend(format!(r#"],"filter":[{filter}]}}}}"#).bytes());
                json::splice(text, entry.value, &query)
            }
            found => {
                let query = format!(r#"{{"bool":{{"filter":[{filter}]}}}}"#);
                match found {
                    Some(entry) => json::splice(text, entry.value, query.as_bytes()),
                    None => json::insert_member(text, start, "query", query.as_bytes()),
                }
            }
        };
        Ok(Effect::Replaced(out))
    }
}
