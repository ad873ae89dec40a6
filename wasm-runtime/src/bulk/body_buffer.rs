//! A body on its way from a socket into the memory where it stays: one copy, by the kernel.

use std::io;

use pyo3::exceptions::{PyConnectionResetError, PyMemoryError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

/// Maximum number of bytes received in one call: the event loop has other sockets to serve.
const MOST: usize = 1 << 20;

/// A body of known length, of which some has arrived.
#[pyclass(module = "pipelines._wasm")]
pub(crate) struct Intake {
    /// Nobody else knows it before it is whole.
    bytes: Option<Py<PyBytes>>,
    at: usize,
    size: usize,
}

#[pymethods]
impl Intake {
    /// Room for `size` bytes, the first of which are `begun`, but for so many that are `skipped`. Raises ValueError if
    /// these are more.
    #[new]
    #[pyo3(signature = (size, begun, skipped = 0))]
    fn new(py: Python<'_>, size: usize, begun: Vec<PyBackedBytes>, skipped: usize) -> PyResult<Self> {
        let length = isize::try_from(size).map_err(|_| PyMemoryError::new_err("a body longer than the memory"))?;
        // SAFETY: a new object of `size` bytes, which are written before anybody sees them.
        let bytes = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), length))?
                .cast_into_unchecked::<PyBytes>()
        };
        let mut intake = Self { bytes: Some(bytes.unbind()), at: 0, size };
        for (piece, skipped) in begun.iter().zip(std::iter::once(skipped).chain(std::iter::repeat(0))) {
            let piece = piece.get(skipped..).unwrap_or_default();
            if piece.len() > intake.left() {
                return Err(PyValueError::new_err("more has arrived than there is room for"));
            }
            // SAFETY: there is room for the piece, and nobody else sees it.
            unsafe { std::ptr::copy_nonoverlapping(piece.as_ptr(), intake.next(), piece.len()) };
            intake.at += piece.len();
        }
        Ok(intake)
    }

    /// Bytes that are to come.
    #[getter]
    fn left(&self) -> usize {
        self.size - self.at
    }

    /// Takes what is there at a socket, by its number, without waiting, up to a mebibyte; says whether the body is whole.
    ///
    /// Raises OSError where nothing more will come.
    fn receive(&mut self, py: Python<'_>, socket: i32) -> PyResult<bool> {
        let enough = self.left().saturating_sub(MOST);
        while self.left() > enough {
            let (to, room) = (self.next() as usize, self.left() - enough);
            // SAFETY: so much room is behind `to`, which nobody else sees, and `self` keeps it alive.
            let count = py.detach(|| unsafe { libc::recv(socket, to as *mut libc::c_void, room, libc::MSG_DONTWAIT) });
            let Ok(count) = usize::try_from(count) else {
                let error = io::Error::last_os_error();
                match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(error.into()),
                }
            };
            if count == 0 {
                return Err(PyConnectionResetError::new_err("the sender is gone"));
            }
            self.at += count;
        }
        Ok(self.left() == 0)
    }

    /// The body, once. Raises ValueError as long as it is not whole.
    fn whole(&mut self) -> PyResult<Py<PyBytes>> {
        let bytes = if self.left() == 0 { self.bytes.take() } else { None };
        bytes.ok_or_else(|| PyValueError::new_err("the body is not here"))
    }
}

impl Intake {
    /// Where the next byte goes.
    fn next(&self) -> *mut u8 {
        let Some(bytes) = &self.bytes else { return std::ptr::null_mut() };
        // SAFETY: a bytes object; `at` is inside it, or right behind it.
        unsafe { ffi::PyBytes_AsString(bytes.as_ptr()).cast::<u8>().add(self.at) }
    }
}
