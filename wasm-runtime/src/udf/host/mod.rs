//! Functions that a UDF can call: the field ABI (module `env`) and a fixed WASI stub set that grants nothing.
//!
//! `link` gives a module only the functions that it names, each checked against the type that it declares. `state` is what the
//! functions see and change during one call, `guest_memory` checks every address that a guest passes. Each call charges fuel for the
//! bytes that it reads, so that a guest cannot make the host work for free.

mod fields;
mod guest_memory;
mod state;
mod wasi;

use wasmer::{ExternType, FunctionEnv, Imports, Module, Store};

pub(crate) use self::fields::MAX_CTX;
pub(crate) use self::state::{DocumentEdits, Host, LogLine, Real};

/// Imports for `module`: only the functions it names, each checked against the type it declares.
///
/// # Errors
/// The import that we do not have or that has another type, by name.
pub(crate) fn link(store: &mut Store, env: &FunctionEnv<Host>, module: &Module) -> Result<Imports, String> {
    let mut imports = Imports::new();
    for import in module.imports() {
        let (space, name) = (import.module(), import.name());
        let ExternType::Function(wanted) = import.ty() else {
            return Err(format!(
                "import [{space}.{name}] is not a function: a UDF must define its own memory and tables"
            ));
        };
        let function = match space {
            "env" => fields::function(store, env, name, wanted.params().len()),
            "wasi_snapshot_preview1" => wasi::stub(store, env, name),
            _ => None,
        };
        let Some(function) = function else {
            return Err(format!(
                "import [{space}.{name}] is not one that Headrace offers (see docs/reference/udf-abi.md)"
            ));
        };
        let ours = function.ty(store);
        if ours != *wanted {
            return Err(format!("import [{space}.{name}] is declared as {wanted}, but it is {ours}"));
        }
        imports.define(space, name, function);
    }
    Ok(imports)
}
