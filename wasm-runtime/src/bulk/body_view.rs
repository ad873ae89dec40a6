//! The output of stages over a bulk as the body to forward: Python reads it without a copy.

use std::ffi::c_int;
use std::ops::Range;
use std::sync::Arc;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

/// A part of what stages made, which stays as it is and as long as it is seen.
#[pyclass(frozen, module = "headrace_pipelines._wasm")]
pub(crate) struct BodyView {
    all: Arc<Vec<u8>>,
    range: Range<usize>,
}

#[pymethods]
impl BodyView {
    /// Shows it to who asks by the buffer protocol.
    ///
    /// # Safety
    /// Python's: `view` is to be filled, or null.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let Self { all, range } = slf.get();
        let text = &all[range.clone()];
        let (from, length) = (text.as_ptr().cast_mut().cast(), text.len() as isize);
        // SAFETY: the view keeps this object, and so the text, which nobody changes any more; it is for reading only.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), from, length, 1, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}

/// A view of a part of `all`.
///
/// # Errors
/// Python's, out of memory.
pub(crate) fn view<'py>(
    py: Python<'py>,
    all: &Arc<Vec<u8>>,
    range: Range<usize>,
) -> PyResult<Bound<'py, PyMemoryView>> {
    let view = BodyView { all: Arc::clone(all), range };
    PyMemoryView::from(Bound::new(py, view)?.as_any())
}
