//! `if`: conditions in CEL (crate `cel`) over documents that are never parsed as a whole.
//!
//! A JSON object of a document is a CEL map that looks its members up in the raw text when the expression asks for them.
//! A field that is not there is `null`, as in OpenSearch's own conditions; only where the expression asks for a name with
//! `has()` is a missing field of that name an error elsewhere in it, as CEL has it.

pub(crate) mod needle;
pub(crate) mod simple;
pub(crate) mod state;

use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::common::types::{CelBool, CelInt, CelString, CelUInt};
use cel::common::value::Val;
use cel::{Context, Env, Program, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::document::Meta;
use crate::engine::deadline::guarded;
use crate::engine::offload::offloaded;
use crate::error::Fault;
use crate::json::DocView;
use crate::pipeline::condition::needle::Haystack;
use crate::pipeline::condition::simple::SimpleCondition;

mod costs;
mod lists;
mod values;

use costs::{Costs, MOST_ADDED};

/// Longest expression that is compiled, in bytes.
const LONGEST: usize = 8192;
/// Loops within loops, over values whose number a document decides.
const DEEPEST_LOOPS: usize = 2;

/// A compiled condition.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct Condition {
    inner: Arc<Compiled>,
    /// The same without the interpreter, if it is that plain.
    simple: Option<Box<SimpleCondition>>,
    /// Whether it loops over a document's values, or matches regular expressions.
    slow: bool,
    /// The longest document that it is put to on the thread that asks.
    longest: usize,
}

/// The part of a condition that the interpreter needs.
struct Compiled {
    program: Program,
    env: Arc<Env>,
    /// Names that `has()` asks for.
    tested: Vec<String>,
    document: Vec<String>,
    params: Vec<u8>,
    uses_ctx: bool,
    /// By how much the texts and lists that it adds up may be longer than the document: so many times.
    growth: usize,
}

#[pymethods]
impl Condition {
    /// Compiles `expression`; `names` are those under which it may call the document, `params` the stage's parameters.
    ///
    /// Raises ValueError that says what is wrong and where.
    #[new]
    fn new(expression: &str, names: Vec<String>, params: Vec<u8>) -> PyResult<Self> {
        Self::compile(expression, names, params).map_err(PyValueError::new_err)
    }

    /// Whether a document may take long, so that the condition is kept off the event loop.
    #[getter]
    fn slow(&self) -> bool {
        self.slow
    }
}

impl Condition {
    /// # Errors
    /// The defect of the expression.
    pub(crate) fn compile(expression: &str, names: Vec<String>, params: Vec<u8>) -> Result<Self, String> {
        if expression.len() > LONGEST {
            return Err(format!("the condition has {} bytes, the limit is {LONGEST}", expression.len()));
        }
        let env = Arc::new(Env::stdlib());
        let program = env.compile(expression).map_err(|e| format!("is not a CEL expression: {e}"))?;
        let references = program.references();
        let in_scope = |name: &str| names.iter().any(|n| n == name) || matches!(name, "params" | "ctx");
        let variables = references.variables();
        let types = ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"];
        let macros = |name: &str| name.starts_with('@') || types.contains(&name);
        let bound = bound_names(program.expression());
        if let Some(unknown) = variables.iter().find(|n| !in_scope(n) && !macros(n) && !bound.iter().any(|b| b == *n)) {
            return Err(format!("[{unknown}] is not known here: there are {}, params and ctx", names.join(", ")));
        }
        let loops = loops(program.expression());
        if loops > DEEPEST_LOOPS {
            return Err(format!("loops ([all], [exists], [map], …) are nested deeper than {DEEPEST_LOOPS}"));
        }
        let Costs { growth, longest } = Costs::of(program.expression(), loops)?;
        let uses_ctx = variables.contains(&"ctx");
        let mut tested = Vec::new();
        walk(program.expression(), &mut |expr| {
            if let Expr::Select(select) = expr
                && select.test
            {
                tested.push(select.field.clone());
            }
        });
        let simple = SimpleCondition::of(program.expression(), &names, &tested).map(Box::new);
        let slow = loops > 0 || longest < usize::MAX;
        let inner = Arc::new(Compiled { program, env, tested, document: names, params, uses_ctx, growth });
        Ok(Self { inner, simple, slow, longest })
    }

    /// Whether a document may take long.
    pub(crate) fn is_slow(&self) -> bool {
        self.slow
    }

    /// Whether the bytes of each document in a text show that it does not meet the condition, if each is
    /// [`crate::pipeline::condition::simple::like_object`].
    pub(crate) fn lacks_needle<'t>(&'t self, text: &Haystack<'t>) -> bool {
        self.simple.as_ref().is_some_and(|simple| simple.lacks_needle(text))
    }

    /// The value of the expression as text; `None` where it has none, or none that names something.
    pub(crate) fn text(&self, doc: DocView<'_>, meta: &Meta) -> Option<String> {
        if doc.text().len() <= self.longest {
            return guarded(|| Ok(self.inner.evaluated_text(doc, meta))).ok().flatten();
        }
        let (inner, text, meta) = (Arc::clone(&self.inner), doc.text().to_vec(), meta.clone());
        offloaded(move || Ok(inner.evaluated_text((&text).into(), &meta))).ok().flatten()
    }

    /// Whether the condition is met.
    ///
    /// # Errors
    /// Why it cannot be evaluated, or that it is no yes or no.
    pub(crate) fn holds(&self, doc: DocView<'_>, meta: &Meta, pipeline: &str) -> Result<bool, Fault> {
        if let Some(met) = self.simple.as_ref().and_then(|simple| simple.holds(doc.trimmed())) {
            return Ok(met);
        }
        let text = doc.text();
        if text.len() <= self.longest {
            return guarded(|| self.inner.evaluate(doc, meta, pipeline));
        }
        let (inner, text, meta, pipeline) = (Arc::clone(&self.inner), text.to_vec(), meta.clone(), pipeline.to_owned());
        offloaded(move || inner.evaluate((&text).into(), &meta, &pipeline))
    }
}

impl Compiled {
    fn evaluate(&self, doc: DocView<'_>, meta: &Meta, pipeline: &str) -> Result<bool, Fault> {
        if self.growth.saturating_mul(doc.text().len() + self.params.len() + LONGEST) > MOST_ADDED {
            return Err(Fault::too_much("the condition adds up texts or lists that would be too long"));
        }
        self.evaluated(doc, meta, pipeline).map_err(|reason| Fault::new(400, "condition_exception", reason))
    }

    fn evaluated(&self, doc: DocView<'_>, meta: &Meta, pipeline: &str) -> Result<bool, String> {
        self.resolved(doc, meta, pipeline, |value| match value.downcast_ref::<CelBool>() {
            Some(flag) => Ok(*flag.inner()),
            None => Err(format!("the condition gave a {}, not a bool", value.get_type().name())),
        })
    }

    /// The text of the value, if it is one that names something: a string, a number without fraction, a bool.
    fn evaluated_text(&self, doc: DocView<'_>, meta: &Meta) -> Option<String> {
        if self.growth.saturating_mul(doc.text().len() + self.params.len() + LONGEST) > MOST_ADDED {
            return None;
        }
        let text = |value: &dyn Val| {
            let string = value.downcast_ref::<CelString>().map(|text| text.inner().to_owned());
            let int = value.downcast_ref::<CelInt>().map(|number| number.inner().to_string());
            let uint = value.downcast_ref::<CelUInt>().map(|number| number.inner().to_string());
            let flag = value.downcast_ref::<CelBool>().map(|flag| flag.inner().to_string());
            Ok(string.or(int).or(uint).or(flag))
        };
        self.resolved(doc, meta, "", text).ok().flatten()
    }

    fn resolved<T>(
        &self,
        doc: DocView<'_>,
        meta: &Meta,
        pipeline: &str,
        read: impl FnOnce(&dyn Val) -> Result<T, String>,
    ) -> Result<T, String> {
        let ctx = if self.uses_ctx { meta.full_ctx(pipeline) } else { Vec::new() };
        let mut context = Context::with_env(Arc::clone(&self.env));
        for name in &self.document {
            context.add_variable_as_val(name.as_str(), self.value(doc.trimmed()));
        }
        context.add_variable_as_val("params", self.value(self.params.trim_ascii().into()));
        if self.uses_ctx {
            context.add_variable_as_val("ctx", self.value((&ctx).into()));
        }
        match Value::resolve_val(self.program.expression(), &context) {
            Ok(value) => read(&*value),
            Err(error) => Err(format!("the condition cannot be evaluated: {error}")),
        }
    }

    fn value<'v>(&'v self, doc: DocView<'v>) -> Box<dyn Val + 'v> {
        values::of_view(doc, &self.tested)
    }
}

/// Calls `see` for every node of the expression.
fn walk(expr: &IdedExpr, see: &mut impl FnMut(&Expr)) {
    see(&expr.expr);
    match &expr.expr {
        Expr::Call(call) => call.target.iter().map(|t| &**t).chain(&call.args).for_each(|e| walk(e, see)),
        Expr::Comprehension(c) => {
            [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result].into_iter().for_each(|e| walk(e, see));
        }
        Expr::List(list) => list.elements.iter().for_each(|e| walk(e, see)),
        Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                walk(&entry.key, see);
                walk(&entry.value, see);
            }
            EntryExpr::StructField(field) => walk(&field.value, see),
        }),
        Expr::Select(select) => walk(&select.operand, see),
        Expr::Struct(s) => s.entries.iter().for_each(|entry| {
            if let EntryExpr::StructField(field) = &entry.expr {
                walk(&field.value, see);
            }
        }),
        _ => {}
    }
}

/// How deep comprehensions are nested.
fn loops(expr: &IdedExpr) -> usize {
    let mut inner = 0;
    let mut see = |e: &IdedExpr| inner = inner.max(loops(e));
    match &expr.expr {
        Expr::Call(call) => call.target.iter().map(|t| &**t).chain(&call.args).for_each(see),
        Expr::Comprehension(c) => {
            [&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result].into_iter().for_each(see);
            inner += 1;
        }
        Expr::List(list) => list.elements.iter().for_each(see),
        Expr::Map(map) => map.entries.iter().for_each(|entry| {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                see(&entry.key);
                see(&entry.value);
            }
        }),
        Expr::Select(select) => see(&select.operand),
        _ => {}
    }
    inner
}

/// The names that comprehensions (`all`, `exists`, …) bind.
fn bound_names(expr: &IdedExpr) -> Vec<String> {
    let mut names = Vec::new();
    walk(expr, &mut |expr| {
        if let Expr::Comprehension(c) = expr {
            names.push(c.iter_var.clone());
            names.push(c.accu_var.clone());
            names.extend(c.iter_var2.clone());
        }
    });
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The short cut and the interpreter say the same, of every expression and document here.
    #[test]
    fn what_is_quick_is_what_cel_says() {
        let fields = ["doc.a == 'x'", "'x' != doc.a", "doc.a.b == 'x'", "doc.a.b != 'x'", "has(doc.a)", "doc.b == ''"];
        let mut expressions: Vec<String> = fields.map(str::to_owned).to_vec();
        for left in fields {
            expressions.push(format!("!({left})"));
            for right in fields {
                expressions.push(format!("{left} && {right}"));
                expressions.push(format!("{left} || !({right})"));
            }
        }
        let values = [
            "\"x\"",
            "\"y\"",
            "\"\"",
            "\"\\u0078\"",
            "1",
            "null",
            "true",
            "[\"x\"]",
            "{}",
            "{\"b\":\"x\"}",
            "{\"b\":1}",
        ];
        let mut documents = vec!["{}".to_owned(), "{\"b\":\"\"}".to_owned(), " { \"a\" : \"x\" } ".to_owned()];
        documents.extend(values.iter().map(|v| format!("{{\"a\":{v}}}")));
        documents.extend(values.iter().map(|v| format!("{{\"a\":1,\"b\":{v},\"a\":\"x\"}}")));
        let mut asked = 0;
        for expression in &expressions {
            let condition = Condition::compile(expression, vec!["doc".to_owned()], b"{}".to_vec()).unwrap();
            let simple = condition.simple.as_ref().expect("it is plain");
            for document in &documents {
                if let Some(met) = simple.holds(document.as_bytes().trim_ascii().into()) {
                    let said = condition.inner.evaluated(document.as_bytes().into(), &Meta::default(), "p");
                    assert_eq!(said, Ok(met), "{expression} of {document}");
                    asked += 1;
                }
            }
        }
        assert!(asked > 800, "{asked}");
    }
}
