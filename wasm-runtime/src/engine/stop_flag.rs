//! A stop flag for guests that are not metered.

use std::sync::Mutex;

use wasmer::sys::wasmparser::Operator;
use wasmer::sys::{FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware};
use wasmer_types::{GlobalIndex, GlobalInit, GlobalType, LocalFunctionIndex, ModuleInfo, Mutability, Type};

use crate::engine::metering::{END, EXHAUSTED, REMAINING};

/// A stop flag in place of metering: every loop asks whether it is to end, and nothing is counted.
///
/// The watchdog's way to end a guest stays as it is; an interpreter runs at about half the cost. Recursion ends at the limit
/// of the stack, and bulk instructions at that of the memory.
#[derive(Debug, Default)]
pub(crate) struct StopFlag {
    globals: Mutex<Option<(GlobalIndex, GlobalIndex)>>,
}

impl ModuleMiddleware for StopFlag {
    fn generate_function_middleware<'a>(&self, _: LocalFunctionIndex) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        let globals = *self.globals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Box::new(FunctionStopFlag { globals })
    }

    fn transform_module_info(&self, info: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        let mut add = |name: &str, ty, init| {
            let global = info.globals.push(GlobalType::new(ty, Mutability::Var));
            info.global_initializers.push(init);
            info.exports.insert(name.to_owned(), wasmer_types::ExportIndex::Global(global));
            global
        };
        add(REMAINING, Type::I64, GlobalInit::I64Const(i64::MAX));
        let exhausted = add(EXHAUSTED, Type::I32, GlobalInit::I32Const(0));
        let end = add(END, Type::I64, GlobalInit::I64Const(0));
        *self.globals.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((end, exhausted));
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
        if let (true, Some((end, exhausted))) = (loops, self.globals) {
            state.extend(&[
                Operator::GlobalGet { global_index: end.as_u32() },
                Operator::I32WrapI64,
                Operator::If { blockty: wasmer::sys::wasmparser::BlockType::Empty },
                Operator::I32Const { value: 1 },
                Operator::GlobalSet { global_index: exhausted.as_u32() },
                Operator::Unreachable,
                Operator::End,
            ]);
        }
        Ok(())
    }
}
