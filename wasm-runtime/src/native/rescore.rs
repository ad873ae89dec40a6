//! `rescore`: a new score for every hit out of its old one and a number in its document; the hits are sorted anew.
//!
//! The number is `factor * modifier(value)`, as `field_value_factor` of OpenSearch's `function_score` makes it, and the
//! two are put together as its `rescore` does: `query_weight * score` and `rescore_query_weight * number` by `score_mode`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::support::function::{Function, Parameters};
use crate::document::Meta;
use crate::document::effect::Effect;
use crate::document::effect::scored;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;

#[derive(Deserialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Modifier {
    #[default]
    None,
    Log,
    Log1p,
    Log2p,
    Ln,
    Ln1p,
    Ln2p,
    Square,
    Sqrt,
    Reciprocal,
}

#[derive(Deserialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Total,
    Multiply,
    Avg,
    Max,
    Min,
}

/// Computes a new score of every hit from a field, and sorts hits by it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rescore {
    /// The field with the number, as a dotted path.
    #[schemars(length(min = 1))]
    field: String,
    /// The factor of the value.
    #[serde(default = "unit")]
    factor: f64,
    /// The function of the value.
    #[serde(default)]
    modifier: Modifier,
    /// The value of hits without the field; default: they fail.
    missing: Option<f64>,
    /// The weight of the score of the search.
    #[serde(default = "unit")]
    query_weight: f64,
    /// The weight of the value.
    #[serde(default = "unit")]
    rescore_query_weight: f64,
    /// The operation that joins both scores.
    #[serde(default)]
    score_mode: Mode,
}

fn unit() -> f64 {
    1.0
}

impl Parameters for Rescore {
    fn prepare(&mut self) -> Result<(), String> {
        if self.field.is_empty() { Err("[field] required property is missing".to_owned()) } else { Ok(()) }
    }
}

impl Rescore {
    fn number(&self, hit: DocView<'_>) -> Result<f64, Fault> {
        let raw = json::find(hit, &format!("_source.{}", self.field)).map(|range| &hit.text()[range]);
        let value = match raw {
            None | Some(b"null") => self.missing.ok_or_else(|| {
                Fault::illegal(format!("Missing value for field [{}]; give one in [missing]", self.field))
            })?,
            Some(raw) => std::str::from_utf8(raw)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Fault::illegal(format!("field [{}] is not a number, cannot rescore", self.field)))?,
        };
        let value: f64 = self.factor * value;
        Ok(match self.modifier {
            Modifier::None => value,
            Modifier::Log => value.log10(),
            Modifier::Log1p => (value + 1.0).log10(),
            Modifier::Log2p => (value + 2.0).log10(),
            Modifier::Ln => value.ln(),
            Modifier::Ln1p => value.ln_1p(),
            Modifier::Ln2p => (value + 1.0).ln_1p(),
            Modifier::Square => value * value,
            Modifier::Sqrt => value.sqrt(),
            Modifier::Reciprocal => 1.0 / value,
        })
    }
}

impl Function for Rescore {
    fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        let old = self.query_weight * meta.score;
        let new = self.rescore_query_weight * self.number(doc)?;
        let score = match self.score_mode {
            Mode::Total => old + new,
            Mode::Multiply => old * new,
            Mode::Avg => f64::midpoint(old, new),
            Mode::Max => old.max(new),
            Mode::Min => old.min(new),
        };
        scored(doc, format!("{score:?}").as_bytes())
    }
}
