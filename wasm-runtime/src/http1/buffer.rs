//! Bytes of Python objects, read in place.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Calls `read` with the bytes `offset..end` of an object with a buffer; `end`: of the buffer, where there is none.
pub(crate) fn with_bytes<T>(
    data: &Bound<'_, PyAny>,
    offset: usize,
    end: Option<usize>,
    read: impl FnOnce(&[u8]) -> PyResult<T>,
) -> PyResult<T> {
    let part = |all: &[u8]| (offset <= end.unwrap_or(all.len()) && end.unwrap_or(offset) <= all.len()).then_some(());
    let outside = || PyIndexError::new_err("the range is outside the buffer");
    if let Ok(bytes) = data.cast::<PyBytes>() {
        let all = bytes.as_bytes();
        part(all).ok_or_else(outside)?;
        return read(&all[offset..end.unwrap_or(all.len())]);
    }
    let buffer = PyBuffer::<u8>::get(data)?;
    if !buffer.is_c_contiguous() {
        return Err(PyValueError::new_err("the buffer is not contiguous"));
    }
    // SAFETY: the export keeps the memory where it is, and nobody writes it: `read` holds the interpreter's lock and calls
    // nothing of Python that could.
    let all = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>().cast_const(), buffer.len_bytes()) };
    part(all).ok_or_else(outside)?;
    read(&all[offset..end.unwrap_or(all.len())])
}
