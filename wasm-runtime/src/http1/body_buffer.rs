//! A body of known length on its way into the memory where it stays: the loop writes it there.

use std::ffi::{c_int, c_void};

use pyo3::exceptions::{PyBufferError, PyMemoryError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use super::buffer::with_bytes;

/// Maximum length in bytes of one view: a single read must not hold up other connections.
const MOST: usize = 1 << 20;

/// Memory for a body of known length, filled from its beginning.
///
/// `room` is what `BufferedProtocol.get_buffer` may return; then `filled` says how much was written.
#[pyclass(module = "headrace_pipelines._wasm")]
pub(crate) struct BodyBuffer {
    /// Nobody else knows it before it is whole. It stays as long as there may be a view of it.
    bytes: Py<PyBytes>,
    at: usize,
    size: usize,
    taken: bool,
}

#[pymethods]
impl BodyBuffer {
    /// Room for `size` bytes.
    #[new]
    fn new(py: Python<'_>, size: usize) -> PyResult<Self> {
        let length = isize::try_from(size).map_err(|_| PyMemoryError::new_err("a body longer than the memory"))?;
        // SAFETY: a new object of `size` bytes, which are written before anybody sees them.
        let bytes = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), length))?
                .cast_into_unchecked::<PyBytes>()
        };
        Ok(Self { bytes: bytes.unbind(), at: 0, size, taken: false })
    }

    /// Bytes that are to come.
    #[getter]
    fn left(&self) -> usize {
        self.size - self.at
    }

    /// Copies the bytes `offset..end` of `data`. Raises ValueError if they are more than are to come.
    #[pyo3(signature = (data, offset = 0, end = None))]
    fn append(&mut self, data: &Bound<'_, PyAny>, offset: usize, end: Option<usize>) -> PyResult<()> {
        with_bytes(data, offset, end, |piece| {
            if piece.len() > self.left() {
                return Err(PyValueError::new_err("more has arrived than there is room for"));
            }
            // SAFETY: there is room for the piece, and nobody reads it yet.
            unsafe { std::ptr::copy(piece.as_ptr(), self.next(), piece.len()) };
            self.at += piece.len();
            Ok(())
        })
    }

    /// The room that is left, to write to, up to a mebibyte.
    fn room<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        PyMemoryView::from(slf.as_any())
    }

    /// Counts bytes that were written to the room.
    fn filled(&mut self, count: usize) -> PyResult<()> {
        if count > self.left() {
            return Err(PyValueError::new_err("more was written than there is room for"));
        }
        self.at += count;
        Ok(())
    }

    /// The body, once. Raises ValueError as long as it is not whole.
    ///
    /// The loop may still hold the view that it wrote the last bytes to; it does not write to it again.
    fn whole(&mut self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        if self.left() != 0 || self.taken {
            return Err(PyValueError::new_err("the body is not here"));
        }
        self.taken = true;
        Ok(self.bytes.clone_ref(py))
    }

    /// The bytes so far of a body that breaks off.
    fn part<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bytes.as_bytes(py)[..self.at])
    }

    /// The room that is left, up to a mebibyte.
    unsafe fn __getbuffer__(slf: PyRef<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if slf.taken {
            return Err(PyBufferError::new_err("the body has been taken"));
        }
        let (room, length) = (slf.next(), slf.left().min(MOST));
        // SAFETY: `view` is Python's to fill. The memory stays as long as this object, which the view keeps alive.
        let failed =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), room.cast::<c_void>(), length as isize, 0, flags) };
        if failed != 0 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}

impl BodyBuffer {
    /// Where the next byte goes.
    fn next(&self) -> *mut u8 {
        // SAFETY: a bytes object; `at` is inside it, or right behind it.
        unsafe { ffi::PyBytes_AsString(self.bytes.as_ptr()).cast::<u8>().add(self.at) }
    }
}
