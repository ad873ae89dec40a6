//! Built-in functions, one file each, with the names, options and error texts of OpenSearch's own processors.

mod convert;
mod drop;
mod fail;
mod field;
mod filter_query;
mod lowercase;
mod remove;
mod rename;
mod set;
mod template;
mod truncate_hits;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::de::DeserializeOwned;

use crate::batch::Effect;
use crate::error::Fault;
use crate::host::Meta;

/// What one built-in does to one document.
pub trait Function: Send + Sync {
    /// # Errors
    /// The fault of this document.
    fn apply(&self, text: &[u8], meta: &Meta) -> Result<Effect, Fault>;
}

type Build = fn(&[u8]) -> Result<Box<dyn Function>, String>;

/// A built-in: its name, the pipelines it belongs in, and how it is made from its parameters.
struct Entry {
    name: &'static str,
    kinds: &'static [&'static str],
    build: Build,
}

const DOCUMENT: &[&str] = &["document"];
const BODY: &[&str] = &["document", "query", "result"];

const FUNCTIONS: &[Entry] = &[
    Entry { name: "set", kinds: BODY, build: make::<set::Set> },
    Entry { name: "remove", kinds: BODY, build: make::<remove::Remove> },
    Entry { name: "rename", kinds: BODY, build: make::<rename::Rename> },
    Entry { name: "lowercase", kinds: BODY, build: make::<lowercase::Lowercase> },
    Entry { name: "convert", kinds: BODY, build: make::<convert::Convert> },
    Entry { name: "drop", kinds: DOCUMENT, build: make::<drop::Drop> },
    Entry { name: "fail", kinds: BODY, build: make::<fail::Fail> },
    Entry { name: "filter_query", kinds: &["query"], build: make::<filter_query::FilterQuery> },
    Entry { name: "truncate_hits", kinds: &["result"], build: make::<truncate_hits::TruncateHits> },
];

/// A built-in made from JSON parameters; `prepare` is for what serde cannot say.
trait Parameters: Function + DeserializeOwned + 'static {
    /// # Errors
    /// Which option is wrong, and why.
    fn prepare(&mut self) -> Result<(), String> {
        Ok(())
    }
}

fn make<T: Parameters>(parameters: &[u8]) -> Result<Box<dyn Function>, String> {
    let mut function: T = serde_json::from_slice(parameters).map_err(|e| {
        let text = e.to_string();
        text.split(" at line ").next().unwrap_or(&text).to_owned()
    })?;
    function.prepare()?;
    Ok(Box::new(function))
}

/// A built-in with its parameters, ready to run.
#[pyclass(frozen, module = "pipelines._wasm")]
pub struct Native {
    function: Box<dyn Function>,
    name: &'static str,
}

#[pymethods]
impl Native {
    /// `parameters` is a JSON object. Raises ValueError that says which option is wrong.
    #[new]
    fn new(name: &str, parameters: &[u8]) -> PyResult<Self> {
        let entry = FUNCTIONS.iter().find(|e| e.name == name).ok_or_else(|| {
            PyValueError::new_err(format!("no built-in function [{name}]; there are {}", Self::names_text()))
        })?;
        let function = (entry.build)(parameters).map_err(PyValueError::new_err)?;
        Ok(Self { function, name: entry.name })
    }

    /// The function's name.
    #[getter]
    fn name(&self) -> &'static str {
        self.name
    }

    /// Every built-in with the pipeline types it belongs in.
    #[staticmethod]
    fn functions() -> Vec<(&'static str, Vec<&'static str>)> {
        FUNCTIONS.iter().map(|e| (e.name, e.kinds.to_vec())).collect()
    }
}

impl Native {
    fn names_text() -> String {
        FUNCTIONS.iter().map(|e| e.name).collect::<Vec<_>>().join(", ")
    }

    /// # Errors
    /// As [`Function::apply`].
    pub fn apply(&self, text: &[u8], meta: &Meta) -> Result<Effect, Fault> {
        self.function.apply(text, meta)
    }
}
