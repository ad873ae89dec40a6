//! Bodies of the cluster's other media types, YAML, CBOR and SMILE, as JSON and back, token by token.
//!
//! A reader gives the tokens of a body to a `Sink`, which writes them in another form. Numbers and texts stay exact: what a type
//! has that JSON has not is written as the cluster shows it (bytes as base64, `NaN` as a text). `strict` refuses what two readers
//! may take differently. Every reader is bounded: by the size of what is written, and by the depth of what is nested.

mod cbor;
mod decimal;
mod json_out;
mod plain;
mod sink;
mod smile;
mod smile_out;
mod tokens;
mod yaml;
mod yaml_out;
mod yaml_scalar;

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use self::sink::Refused;

pub(crate) use self::plain::{plain_copy, plain_json};

/// Bytes from which on the lock of Python is released: a shorter body takes less time than the lock's change of
/// hands.
const LONG: usize = 32 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Yaml,
    Cbor,
    Smile,
}

impl Media {
    fn of(name: &str) -> PyResult<Self> {
        match name {
            "yaml" => Ok(Self::Yaml),
            "cbor" => Ok(Self::Cbor),
            "smile" => Ok(Self::Smile),
            _ => Err(PyValueError::new_err(format!("[{name}] is no media type that is transcoded"))),
        }
    }
}

/// The JSON text of a body of another media type, of at most `limit` bytes.
///
/// `parts`: it is SMILE of several values, each with its header and an end mark; each becomes a line. `ValueError` says what is
/// wrong with it, `OverflowError` that it would be longer.
#[pyfunction]
#[pyo3(signature = (media, body, limit, *, strict, parts=false))]
pub(crate) fn json_from<'py>(
    py: Python<'py>,
    media: &str,
    body: PyBackedBytes,
    limit: usize,
    strict: bool,
    parts: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let media = Media::of(media)?;
    let converted = detached(py, body.len(), || {
        if parts { smile::read_parts(&body, limit, strict) } else { read(media, &body, limit, strict) }
    });
    told(py, converted)
}

/// A JSON text as a body of another media type. `ValueError` for what is not JSON.
#[pyfunction]
pub(crate) fn json_to<'py>(py: Python<'py>, media: &str, text: PyBackedBytes) -> PyResult<Bound<'py, PyBytes>> {
    let media = Media::of(media)?;
    let converted = detached(py, text.len(), || written(media, &text));
    told(py, converted)
}

fn detached<T: Send>(py: Python<'_>, len: usize, work: impl FnOnce() -> T + Send) -> T {
    if len < LONG { work() } else { py.detach(work) }
}

fn told(py: Python<'_>, converted: Result<Vec<u8>, Refused>) -> PyResult<Bound<'_, PyBytes>> {
    match converted {
        Ok(converted) => Ok(PyBytes::new(py, &converted)),
        Err(Refused::Unreadable(reason)) => Err(PyValueError::new_err(reason)),
        Err(Refused::TooLong) => Err(PyOverflowError::new_err("the body as JSON is too long")),
    }
}

fn read(media: Media, body: &[u8], limit: usize, strict: bool) -> Result<Vec<u8>, Refused> {
    let mut json = json_out::Json::new(limit);
    match media {
        Media::Yaml => yaml::read(body, strict, &mut json)?,
        Media::Cbor => cbor::read(body, strict, &mut json)?,
        Media::Smile => smile::read(body, strict, &mut json)?,
    }
    Ok(json.done())
}

fn written(media: Media, text: &[u8]) -> Result<Vec<u8>, Refused> {
    match media {
        Media::Yaml => {
            let mut out = yaml_out::Yaml::default();
            tokens::read(text, &mut out)?;
            Ok(out.done())
        }
        Media::Cbor => {
            let mut out = cbor::Out::default();
            tokens::read(text, &mut out)?;
            Ok(out.done())
        }
        Media::Smile => smile_out::written(text),
    }
}
