//! Policy sets by process-wide id, so that every thread that loads the addon shares them.
#![expect(clippy::needless_pass_by_value, reason = "N-API hands over the strings")]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use napi::bindgen_prelude::{Error, Result};
use napi_derive::napi;
use sluice_policy::{Policies, Request, Spec};

static SETS: LazyLock<RwLock<HashMap<u32, Arc<Policies>>>> = LazyLock::new(RwLock::default);
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Compiles Cedar policies; see `index.d.ts`.
///
/// # Errors
/// One line per problem.
#[napi]
pub fn compile_policies(spec: String) -> Result<u32> {
    guarded("compilePolicies", || {
        let spec: Spec = serde_json::from_str(&spec).map_err(|error| argument("compilePolicies", &error))?;
        let policies = Policies::compile(&spec).map_err(|error| Error::from_reason(error.to_string()))?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        SETS.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(policies));
        Ok(id)
    })
}

/// Frees a policy set; a decision under way keeps its own reference.
#[napi]
pub fn drop_policies(policies: u32) {
    SETS.write().unwrap_or_else(PoisonError::into_inner).remove(&policies);
}

/// The policies of a set as JSON; see `index.d.ts`.
///
/// # Errors
/// The id names no policy set.
#[napi]
pub fn list_policies(policies: u32) -> Result<String> {
    guarded("listPolicies", || {
        let set = find("listPolicies", policies)?;
        serde_json::to_string(set.summaries()).map_err(|error| argument("listPolicies", &error))
    })
}

/// Decides one request; see `index.d.ts`.
///
/// # Errors
/// The id names no policy set, or the request is not of the documented form.
#[napi]
pub fn decide_policy(policies: u32, request: String) -> Result<String> {
    guarded("decidePolicy", || {
        let request: Request = serde_json::from_str(&request).map_err(|error| argument("decidePolicy", &error))?;
        let answer = find("decidePolicy", policies)?.decide(&request);
        serde_json::to_string(&answer).map_err(|error| argument("decidePolicy", &error))
    })
}

fn find(function: &str, id: u32) -> Result<Arc<Policies>> {
    let sets = SETS.read().unwrap_or_else(PoisonError::into_inner);
    sets.get(&id)
        .cloned()
        .ok_or_else(|| Error::from_reason(format!("{function}: no policy set has the id {id}")))
}

fn argument(function: &str, error: &serde_json::Error) -> Error {
    Error::from_reason(format!("{function}: {error}"))
}

/// A panic must not cross into JavaScript: it becomes an Error, and the caller denies.
fn guarded<T>(function: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Err(Error::from_reason(format!("{function}: internal error"))))
}
