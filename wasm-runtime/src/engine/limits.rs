//! The limits of a UDF and the pieces of wasmer that enforce them: fuel, memory, table, stack.

use std::ptr::NonNull;
use std::sync::Mutex;

use wasmer::sys::vm::{VMConfig, VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition};
use wasmer::sys::wasmparser::Operator;
use wasmer::sys::{
    BaseTunables, FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware, Tunables,
};
use wasmer::{MemoryError, MemoryType, Pages, TableType};
use wasmer_types::{
    GlobalIndex, GlobalInit, GlobalType, LocalFunctionIndex, MemoryStyle, ModuleInfo, Mutability, TableStyle, Type,
};

use crate::engine::deadline::tick;
use crate::engine::memory;
use crate::error::Fault;

/// Bytes of one WebAssembly page.
pub(crate) const PAGE: u64 = 65_536;
/// Most elements a table may have (docs/reference/udf-abi.md, "Limits").
pub(crate) const MAX_TABLE: u32 = 10_000;
/// Fuel for instantiation: data segments, a start function, `_initialize`, `init`.
pub(crate) const BOOT_FUEL: u64 = 200_000_000;

/// Fuel for starting an interpreter, and for a UDF's module to run once, where it is metered.
pub(crate) const INTERPRETER_BOOT_FUEL: u64 = 20_000_000_000;
/// Nanoseconds that the code of an interpreter's UDF may take to run once.
pub(crate) const LOAD_NS: u64 = 5_000_000_000;

/// Bytes of the longest document that a built-in makes by writing more than [`MORE`] into it, as of a UDF's answer.
pub(crate) const MOST_OUTPUT: usize = 8 << 20;
/// Bytes that any document may grow by in a stage.
const MORE: usize = 64 << 10;
/// Bytes that the work on one document may copy.
const MOST_COPIED: usize = 1 << 30;
/// Copied bytes between two looks at the deadline: about 0.1 ms of work.
const COPIED_AT_ONCE: usize = 256 << 10;

/// # Errors
/// For a document of `len` bytes that a built-in makes of one of `before` bytes, if that is too long.
#[inline]
pub(crate) fn check_output_size(before: usize, len: usize) -> Result<(), Fault> {
    if len <= MOST_OUTPUT || len <= before + MORE {
        return Ok(());
    }
    Err(Fault::too_much(&format!("the stage would make more than the {MOST_OUTPUT} bytes that a document may have")))
}

/// Bytes that the work on one document has copied so far, where each of many changes writes it anew.
#[derive(Default)]
pub(crate) struct Copied {
    all: usize,
    since: usize,
}

impl Copied {
    /// # Errors
    /// When it is too much, and when the time is over.
    pub(crate) fn more(&mut self, bytes: usize) -> Result<(), Fault> {
        self.all += bytes;
        self.since += bytes;
        if self.since > COPIED_AT_ONCE {
            self.since = 0;
            tick()?;
        }
        if self.all > MOST_COPIED {
            return Err(Fault::too_much("the stage writes too many fields into too long a document"));
        }
        Ok(())
    }
}

/// Limits of one UDF in one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Wall-clock nanoseconds for one document.
    pub(crate) timeout_ns: u64,
    /// Metering points for one document; `None` derives them from the timeout.
    pub(crate) fuel: Option<u64>,
    /// Linear memory, in pages of 64 KiB.
    pub(crate) memory_pages: u32,
    /// Bytes of one answer.
    pub(crate) output: usize,
    /// Bytes of log per call.
    pub(crate) log: usize,
    /// Bytes of the wasm stack.
    pub(crate) stack: usize,
}

impl Limits {
    /// # Errors
    /// For an answer of more bytes than one may have.
    #[inline(always)]
    pub(crate) fn check_output(&self, len: usize) -> Result<(), Fault> {
        if len <= self.output {
            return Ok(());
        }
        Err(Fault::result(format!("the UDF answered {len} bytes, the limit is {}", self.output)))
    }
}

/// wasmer's tunables with our ceilings; one for every compiled module, because memories are made by the engine.
pub(crate) struct CappedTunables {
    base: BaseTunables,
    pages: Pages,
    vmconfig: VMConfig,
}

impl CappedTunables {
    pub(crate) fn new(memory_pages: u32, stack: usize) -> Self {
        Self {
            base: BaseTunables::new(),
            pages: Pages(memory_pages),
            vmconfig: VMConfig { wasm_stack_size: Some(stack) },
        }
    }

    fn cap_memory(&self, ty: &MemoryType) -> Result<MemoryType, MemoryError> {
        if ty.minimum > self.pages {
            return Err(MemoryError::Generic(format!(
                "the module wants {} pages of 64 KiB, the limit is {}",
                ty.minimum.0, self.pages.0
            )));
        }
        let mut capped = *ty;
        capped.maximum = Some(ty.maximum.map_or(self.pages, |m| m.min(self.pages)));
        Ok(capped)
    }

    fn cap_table(ty: &TableType) -> Result<TableType, String> {
        if ty.minimum > MAX_TABLE {
            return Err(format!("the module wants a table of {}, the limit is {MAX_TABLE}", ty.minimum));
        }
        let mut capped = *ty;
        capped.maximum = Some(ty.maximum.map_or(MAX_TABLE, |m| m.min(MAX_TABLE)));
        Ok(capped)
    }
}

impl Tunables for CappedTunables {
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        self.base.memory_style(memory)
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        self.base.table_style(table)
    }

    fn create_host_memory(&self, ty: &MemoryType, style: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        self.base.create_host_memory(&self.cap_memory(ty)?, style)
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        at: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        let ty = self.cap_memory(ty)?;
        memory::note(at);
        // SAFETY: `at` is passed on as it came, under the caller's promise.
        unsafe { self.base.create_vm_memory(&ty, style, at) }
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(&Self::cap_table(ty)?, style)
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        at: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        let ty = Self::cap_table(ty)?;
        // SAFETY: as above.
        unsafe { self.base.create_vm_table(&ty, style, at) }
    }

    fn vmconfig(&self) -> &VMConfig {
        &self.vmconfig
    }
}

/// Notes in the exported global [`GROW_FAILED`] that a `memory.grow` was refused.
///
/// A guest's allocator answers a refused growth with a plain `unreachable`; the note tells an exhausted memory limit
/// from any other trap.
#[derive(Debug, Default)]
pub(crate) struct GrowWatch {
    globals: Mutex<Option<(GlobalIndex, GlobalIndex)>>,
}

/// The exported i32 global that is 1 once a growth was refused.
pub(crate) const GROW_FAILED: &str = "headrace_grow_failed";

impl ModuleMiddleware for GrowWatch {
    fn generate_function_middleware<'a>(&self, _: LocalFunctionIndex) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        let globals = *self.globals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Box::new(FunctionGrowWatch { globals })
    }

    fn transform_module_info(&self, info: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        let mut private = || {
            let index = info.globals.push(GlobalType::new(Type::I32, Mutability::Var));
            info.global_initializers.push(GlobalInit::I32Const(0));
            index
        };
        let (result, failed) = (private(), private());
        info.exports.insert(GROW_FAILED.to_owned(), wasmer_types::ExportIndex::Global(failed));
        *self.globals.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((result, failed));
        Ok(())
    }
}

#[derive(Debug)]
struct FunctionGrowWatch {
    globals: Option<(GlobalIndex, GlobalIndex)>,
}

impl<'a> FunctionMiddleware<'a> for FunctionGrowWatch {
    fn feed(&mut self, operator: Operator<'a>, state: &mut MiddlewareReaderState<'a>) -> Result<(), MiddlewareError> {
        let grows = matches!(operator, Operator::MemoryGrow { .. });
        state.push_operator(operator);
        if let (true, Some((result, failed))) = (grows, self.globals) {
            let (result, failed) = (result.as_u32(), failed.as_u32());
            state.extend(&[
                Operator::GlobalSet { global_index: result },
                Operator::GlobalGet { global_index: result },
                Operator::I32Const { value: -1 },
                Operator::I32Eq,
                Operator::If { blockty: wasmer::sys::wasmparser::BlockType::Empty },
                Operator::I32Const { value: 1 },
                Operator::GlobalSet { global_index: failed },
                Operator::End,
                Operator::GlobalGet { global_index: result },
            ]);
        }
        Ok(())
    }
}
