//! The N-API surface of the native crates: thin, typed, one module per crate behind it.

mod call;
mod policy;
mod record;
mod registry;
mod scanner;
mod sql;

use napi::Env;
use napi::bindgen_prelude::{Object, Result};
use napi_derive::napi;

/// Exports the functions that are called per message; napi exports the others by itself.
#[napi(module_exports)]
pub fn exports(exports: Object, env: Env) -> Result<()> {
    call::export::<scanner::MaskText>(&env, &exports)?;
    call::export::<scanner::MaskRows>(&env, &exports)?;
    call::export::<scanner::MaskCopy>(&env, &exports)?;
    call::export::<sql::StatementShape>(&env, &exports)
}
