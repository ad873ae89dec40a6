//! The ways in which a module is called, and the functions of an instance for the one that its module has.

use wasmer::{Instance, Store, TypedFunction};

/// How a module wants to be called; found from its exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abi {
    /// `process(ptr, len) -> i64` over JSON text; `many`: and `process_batch`, over many texts.
    Json { many: bool },
    /// `entry(ctx: i64) -> number` with host functions for the fields.
    Field(NumberType),
    /// An interpreter of ours: `load(configuration)`, `run(documents)` (guests/).
    Interpreter(Language),
}

/// Language of an interpreter's UDFs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    JavaScript,
}

impl Abi {
    pub(crate) fn interpreted(self) -> bool {
        matches!(self, Self::Interpreter(_))
    }
}

/// The result type of a field UDF's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberType {
    I32,
    I64,
    F32,
    F64,
}

pub(crate) enum Entry {
    Json {
        alloc: TypedFunction<i32, i32>,
        process: TypedFunction<(i32, i32), i64>,
        /// The same for many documents in one call.
        many: Option<TypedFunction<(i32, i32), i64>>,
        dealloc: Option<TypedFunction<(i32, i32), ()>>,
        buffer: Option<(i32, i32)>,
    },
    Interpreter {
        alloc: TypedFunction<i32, i32>,
        dealloc: TypedFunction<(i32, i32), ()>,
        run: TypedFunction<(i32, i32), i64>,
    },
    I32(TypedFunction<i64, i32>),
    I64(TypedFunction<i64, i64>),
    F32(TypedFunction<i64, f32>),
    F64(TypedFunction<i64, f64>),
}

/// Address and length that an answer in the JSON ABI packs into one number.
#[inline(always)]
pub(crate) fn unpack_answer(answer: u64) -> (usize, usize) {
    ((answer >> 32) as usize, (answer & 0xffff_ffff) as usize)
}

/// The function that does what `entry` does, for many documents.
pub(crate) fn of_many(entry: &str) -> String {
    format!("{entry}_batch")
}

pub(crate) fn bind_entry(store: &Store, instance: &Instance, abi: Abi, entry: &str) -> Result<Entry, String> {
    let exports = &instance.exports;
    let fail = |e: wasmer::ExportError| e.to_string();
    Ok(match abi {
        Abi::Json { many } => Entry::Json {
            alloc: exports.get_typed_function(store, "alloc").map_err(fail)?,
            process: exports.get_typed_function(store, entry).map_err(fail)?,
            many: many.then(|| exports.get_typed_function(store, &of_many(entry))).transpose().map_err(fail)?,
            dealloc: exports.get_typed_function(store, "dealloc").ok(),
            buffer: None,
        },
        Abi::Interpreter(_) => Entry::Interpreter {
            alloc: exports.get_typed_function(store, "alloc").map_err(fail)?,
            dealloc: exports.get_typed_function(store, "dealloc").map_err(fail)?,
            run: exports.get_typed_function(store, entry).map_err(fail)?,
        },
        Abi::Field(NumberType::I32) => Entry::I32(exports.get_typed_function(store, entry).map_err(fail)?),
        Abi::Field(NumberType::I64) => Entry::I64(exports.get_typed_function(store, entry).map_err(fail)?),
        Abi::Field(NumberType::F32) => Entry::F32(exports.get_typed_function(store, entry).map_err(fail)?),
        Abi::Field(NumberType::F64) => Entry::F64(exports.get_typed_function(store, entry).map_err(fail)?),
    })
}
