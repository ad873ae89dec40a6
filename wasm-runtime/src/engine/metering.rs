//! Fuel: a module's code is rewritten to count what it runs, and to end when it has none left or is told to.
//!
//! Points are counted where code branches, for all operators since the branch before. A function keeps what is left in a
//! local, which mostly is a register, and leaves it in a global wherever somebody else may look: before calls and at its
//! end, and at the head of each loop. Only there it asks whether it is to go on, and before operators whose work has a size: what
//! is overdrawn until then is less than one way through one function without its loops. A flag beside the fuel, which the
//! guest never writes, is the watchdog's.

use wasm_encoder::reencode::{self, Reencode, RoundtripReencoder};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, GlobalSection, GlobalType, Instruction,
    Module, SectionId, ValType,
};
use wasmparser::{
    BinaryReaderError, CompositeInnerType, ExportSectionReader, FunctionBody, GlobalSectionReader, Operator, Parser,
    Payload, TypeRef,
};

use wasmer::{AsStoreMut, Instance, Store, StoreObjects, Value};

use crate::engine::limits::BOOT_FUEL;
use crate::error::Fault;

/// The exported i64 global of the points that are left; negative where more were spent.
pub(crate) const REMAINING: &str = "headrace_fuel";
/// The exported i32 global that is 1 once there were none, or the guest was told to end.
pub(crate) const EXHAUSTED: &str = "headrace_exhausted";
/// The exported i64 global that tells the guest to end: [`ENDS`], else 0.
pub(crate) const END: &str = "headrace_end";
/// Negative, as fuel that was overdrawn: both are seen in one look.
pub(crate) const ENDS: u64 = u64::MAX;

/// A value that no guest leaves in a global by chance: marks ours, to find its address.
const MARK: u64 = 0x4865_6164_7261_6365;

/// Points of one operator: one each, the structure free, memory growth dear (it maps pages).
fn cost(operator: &Operator) -> u64 {
    match operator {
        Operator::Block { .. } | Operator::Nop | Operator::End => 0,
        Operator::MemoryGrow { .. } | Operator::TableGrow { .. } => 1_000,
        Operator::I32DivS
        | Operator::I32DivU
        | Operator::I32RemS
        | Operator::I32RemU
        | Operator::I64DivS
        | Operator::I64DivU
        | Operator::I64RemS
        | Operator::I64RemU
        | Operator::F32Sqrt
        | Operator::F64Sqrt => 8,
        _ => 1,
    }
}

/// Whether code may go on elsewhere than behind this operator, or come there from elsewhere. Of the proposals that the engine
/// takes; others do not validate.
fn branches(operator: &Operator) -> bool {
    matches!(
        operator,
        Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::Return
            | Operator::Unreachable
    )
}

/// Whether the operator works on as many bytes or elements as the top of the stack says.
fn sized(operator: &Operator) -> bool {
    matches!(
        operator,
        Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
    )
}

/// Whether a branch may lead out of as many blocks.
fn leads_to(operator: &Operator, depth: u32) -> Result<bool, BinaryReaderError> {
    Ok(match operator {
        Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => *relative_depth == depth,
        Operator::BrTable { targets } => {
            let mut all = targets.targets();
            targets.default() == depth || all.try_fold(false, |any, target| Ok(any | (target? == depth)))?
        }
        _ => false,
    })
}

/// `wasm`, a valid module, with fuel.
///
/// # Errors
/// For sections that cannot be read.
pub(crate) fn metered(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let mut meter = Meter::of(wasm).map_err(|e| e.to_string())?;
    let mut module = Module::new();
    meter.parse_core_module(&mut module, Parser::new(0), wasm).map_err(|e| e.to_string())?;
    Ok(module.finish())
}

/// Rewrites one module.
struct Meter {
    /// How many parameters each type of function takes.
    parameters: Vec<u32>,
    /// The type of each function with a body.
    types: Vec<u32>,
    /// The body that comes next.
    body: usize,
    /// Our first global, behind all of the module's own.
    global: u32,
    /// Whether ours are written.
    globals_done: bool,
}

impl Meter {
    fn of(wasm: &[u8]) -> Result<Self, BinaryReaderError> {
        let (mut parameters, mut types, mut global) = (Vec::new(), Vec::new(), 0);
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        for ty in group?.types() {
                            parameters.push(match &ty.composite_type.inner {
                                CompositeInnerType::Func(ty) => ty.params().len() as u32,
                                _ => 0,
                            });
                        }
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        global += u32::from(matches!(import?.ty, TypeRef::Global(_)));
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        types.push(ty?);
                    }
                }
                Payload::GlobalSection(section) => global += section.count(),
                _ => {}
            }
        }
        Ok(Self { parameters, types, body: 0, global, globals_done: false })
    }

    fn add_globals(&mut self, globals: &mut GlobalSection) {
        let mut add = |val_type, value| {
            globals.global(GlobalType { val_type, mutable: true, shared: false }, &value);
        };
        add(ValType::I64, ConstExpr::i64_const(BOOT_FUEL as i64));
        add(ValType::I32, ConstExpr::i32_const(0));
        add(ValType::I64, ConstExpr::i64_const(0));
        self.globals_done = true;
    }
}

impl Reencode for Meter {
    type Error = std::convert::Infallible;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_global_section(self, globals, section)?;
        self.add_globals(globals);
        Ok(())
    }

    /// A module without globals of its own gets the section here.
    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), reencode::Error> {
        if before == Some(SectionId::Export) && !self.globals_done {
            let mut globals = GlobalSection::new();
            self.add_globals(&mut globals);
            module.section(&globals);
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_export_section(self, exports, section)?;
        for (name, global) in [REMAINING, EXHAUSTED, END].into_iter().zip(self.global..) {
            exports.export(name, ExportKind::Global, global);
        }
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<(), reencode::Error> {
        let ty = self.types.get(self.body).copied().unwrap_or(0);
        self.body += 1;
        let mut locals = Vec::new();
        let mut count = self.parameters.get(ty as usize).copied().unwrap_or(0);
        for group in body.get_locals_reader()? {
            let (more, ty) = group?;
            count += more;
            locals.push((more, self.val_type(ty)?));
        }
        locals.extend([(1, ValType::I64), (1, ValType::I32)]);
        let mut rewriter = FunctionRewriter {
            function: Function::new(locals),
            fuel: count,
            size: count + 1,
            remaining: self.global,
            exhausted: self.global + 1,
            end: self.global + 2,
        };
        rewriter.load();
        // Points since the branch before, and how many blocks are open.
        let (mut due, mut depth) = (0, 0u32);
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            due += cost(&operator);
            if due > 0 && branches(&operator) {
                rewriter.spend(&[Instruction::I64Const(due as i64)]);
                due = 0;
            }
            match &operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => depth += 1,
                Operator::End if depth > 0 => depth -= 1,
                Operator::End | Operator::Return | Operator::Call { .. } | Operator::CallIndirect { .. } => {
                    rewriter.emit_check();
                }
                leaving if leads_to(leaving, depth)? => rewriter.emit_check(),
                Operator::Unreachable => rewriter.store(),
                sizing if sized(sizing) => rewriter.spend_size(),
                _ => {}
            }
            rewriter.function.instruction(&RoundtripReencoder.instruction(operator.clone())?);
            match operator {
                Operator::Call { .. } | Operator::CallIndirect { .. } => rewriter.load(),
                Operator::Loop { .. } => rewriter.emit_check(),
                _ => {}
            }
        }
        code.function(&rewriter.function);
        Ok(())
    }
}

/// A function that is written anew.
struct FunctionRewriter {
    function: Function,
    /// The locals of the points that are left, and of a size.
    fuel: u32,
    size: u32,
    /// The globals, as they are exported.
    remaining: u32,
    exhausted: u32,
    end: u32,
}

impl FunctionRewriter {
    fn write(&mut self, instructions: &[Instruction<'_>]) {
        for instruction in instructions {
            self.function.instruction(instruction);
        }
    }

    /// Takes what is left out of the global.
    fn load(&mut self) {
        self.write(&[Instruction::GlobalGet(self.remaining), Instruction::LocalSet(self.fuel)]);
    }

    /// Leaves it there.
    fn store(&mut self) {
        self.write(&[Instruction::LocalGet(self.fuel), Instruction::GlobalSet(self.remaining)]);
    }

    /// Leaves it there, and ends the guest if nothing is left or somebody has said so.
    fn emit_check(&mut self) {
        self.store();
        self.write(&[
            Instruction::LocalGet(self.fuel),
            Instruction::GlobalGet(self.end),
            Instruction::I64Or,
            Instruction::I64Const(0),
            Instruction::I64LtS,
            Instruction::If(BlockType::Empty),
            Instruction::I32Const(1),
            Instruction::GlobalSet(self.exhausted),
            Instruction::Unreachable,
            Instruction::End,
        ]);
    }

    /// Takes so many points (a number of 64 bits) off what is left.
    fn spend(&mut self, points: &[Instruction<'_>]) {
        self.write(&[Instruction::LocalGet(self.fuel)]);
        self.write(points);
        self.write(&[Instruction::I64Sub, Instruction::LocalSet(self.fuel)]);
    }

    /// An eighth of the size on the stack, which stays there: else 5,000 points of 16 MiB fills would run for a second.
    fn spend_size(&mut self) {
        self.write(&[Instruction::LocalSet(self.size)]);
        self.spend(&[
            Instruction::LocalGet(self.size),
            Instruction::I64ExtendI32U,
            Instruction::I64Const(3),
            Instruction::I64ShrU,
        ]);
        self.emit_check();
        self.write(&[Instruction::LocalGet(self.size)]);
    }
}

/// The address of one of our globals: the one that shows a mark set through the export.
pub(crate) fn find_global(store: &mut Store, instance: &Instance, name: &str) -> Result<*mut u64, Fault> {
    let lost = || Fault::trap("the module was compiled without metering");
    let global = instance.exports.get_global(name).map_err(|_| lost())?.clone();
    let before = global.get(store);
    // A value of 32 bits leaves the others of its place as they are.
    let (mark, bits) = match before {
        Value::I32(_) => (Value::I32(MARK as i32), u64::from(u32::MAX)),
        _ => (Value::I64(MARK as i64), u64::MAX),
    };
    global.set(store, mark).map_err(|_| lost())?;
    let StoreObjects::Sys(objects) = store.objects_mut();
    let address = objects
        .iter_globals()
        .map(|g| g.vmglobal().as_ptr().cast::<u64>())
        // SAFETY: each points at the value of a live global.
        .find(|&at| unsafe { *at } & bits == MARK & bits)
        .ok_or_else(lost)?;
    global.set(store, before).map_err(|_| lost())?;
    Ok(address)
}
