//! The N-API surface of the native crates: thin, typed, one module per crate behind it.
#![cfg_attr(test, allow(dead_code, reason = "napi exports nothing from a test"))]

mod call;
mod policy;
mod record;
mod registry;
mod scanner;
// A test is linked without libuv, which Node brings.
#[cfg(all(target_os = "linux", not(test)))]
mod sockets;
mod sql;

use napi::Env;
use napi::bindgen_prelude::{Object, Result};
use napi_derive::napi;

/// Exports the functions that are called per message; napi exports the others by itself.
///
/// # Errors
/// The engine could not make a function.
#[napi(module_exports)]
pub fn exports(exports: Object, env: Env) -> Result<()> {
    call::export::<scanner::MaskText>(&env, &exports)?;
    call::export::<scanner::MaskRows>(&env, &exports)?;
    call::export::<scanner::MaskCopy>(&env, &exports)?;
    call::export::<sql::StatementShape>(&env, &exports)?;
    #[cfg(all(target_os = "linux", not(test)))]
    {
        call::export::<sockets::PollStart>(&env, &exports)?;
        call::export::<sockets::PollKeep>(&env, &exports)?;
        call::export::<sockets::PollSet>(&env, &exports)?;
        call::export::<sockets::PollWait>(&env, &exports)?;
        call::export::<sockets::SocketDuplicate>(&env, &exports)?;
        call::export::<sockets::SocketRead>(&env, &exports)?;
        call::export::<sockets::SocketWrite>(&env, &exports)?;
        call::export::<sockets::SocketFinish>(&env, &exports)?;
        call::export::<sockets::SocketClose>(&env, &exports)?;
    }
    Ok(())
}
