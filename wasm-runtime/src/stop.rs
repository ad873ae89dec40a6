//! A stop flag for guests that are not metered.

use std::sync::Mutex;

use wasmer::sys::wasmparser::Operator;
use wasmer::sys::{FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware};
use wasmer_types::{GlobalIndex, GlobalInit, GlobalType, LocalFunctionIndex, ModuleInfo, Mutability, Type};

use crate::limits::{EXHAUSTED, REMAINING, end_if};

/// A stop flag in place of metering: every loop asks whether the fuel is zero, and nothing counts it down.
///
/// The watchdog's way to end a guest, emptying its fuel from outside, stays as it is; an interpreter runs at about half the
/// cost. Recursion ends at the limit of the stack, and bulk instructions at that of the memory.
#[derive(Debug, Default)]
pub struct StopFlag {
    globals: Mutex<Option<(GlobalIndex, GlobalIndex)>>,
}

impl ModuleMiddleware for StopFlag {
    fn generate_function_middleware<'a>(&self, _: LocalFunctionIndex) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        let globals = *self.globals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Box::new(FunctionStopFlag { globals })
    }

    fn transform_module_info(&self, info: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        let remaining = info.globals.push(GlobalType::new(Type::I64, Mutability::Var));
        info.global_initializers.push(GlobalInit::I64Const(i64::MAX));
        let exhausted = info.globals.push(GlobalType::new(Type::I32, Mutability::Var));
        info.global_initializers.push(GlobalInit::I32Const(0));
        info.exports.insert(REMAINING.to_owned(), wasmer_types::ExportIndex::Global(remaining));
        info.exports.insert(EXHAUSTED.to_owned(), wasmer_types::ExportIndex::Global(exhausted));
        *self.globals.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((remaining, exhausted));
        Ok(())
    }
}

#[derive(Debug)]
struct FunctionStopFlag {
    globals: Option<(GlobalIndex, GlobalIndex)>,
}

impl<'a> FunctionMiddleware<'a> for FunctionStopFlag {
    fn feed(&mut self, operator: Operator<'a>, state: &mut MiddlewareReaderState<'a>) -> Result<(), MiddlewareError> {
        let loops = matches!(operator, Operator::Loop { .. });
        state.push_operator(operator);
        if let (true, Some((remaining, exhausted))) = (loops, self.globals) {
            state.extend(&[Operator::GlobalGet { global_index: remaining.as_u32() }, Operator::I64Eqz]);
            state.extend(&end_if(exhausted));
        }
        Ok(())
    }
}
