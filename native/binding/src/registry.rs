//! Process-wide registries of immutable things by integer id.

/// Defines a registry module. `with` costs a few nanoseconds: each thread keeps the last thing it used, and looks again
/// only for another id or after something was removed. Ids are never reused.
macro_rules! registry {
    ($module:ident, $kind:ty, $name:literal) => {
        #[allow(non_snake_case)]
        mod $module {
            use super::*;
            use std::cell::RefCell;
            use std::collections::HashMap;
            use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
            use std::sync::{Arc, LazyLock, PoisonError, RwLock};

            use napi::bindgen_prelude::{Error, Result, Status};

            static ALL: LazyLock<RwLock<HashMap<u32, Arc<$kind>>>> = LazyLock::new(RwLock::default);
            static NEXT: AtomicU32 = AtomicU32::new(1);
            /// Counts removals, so that a thread does not go on with what was dropped.
            static REMOVALS: AtomicU64 = AtomicU64::new(0);

            thread_local! {
                static LAST: RefCell<Option<(u32, u64, Arc<$kind>)>> = const { RefCell::new(None) };
            }

            pub(super) fn add(thing: $kind) -> Result<u32> {
                let mut all = ALL.write().unwrap_or_else(PoisonError::into_inner);
                let id = NEXT
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |id| id.checked_add(1))
                    .map_err(|_| Error::new(Status::GenericFailure, concat!("no ids left for another ", $name).to_owned()))?;
                all.insert(id, Arc::new(thing));
                Ok(id)
            }

            pub(super) fn remove(id: u32) {
                let removed = ALL.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
                REMOVALS.fetch_add(1, Ordering::Release);
                LAST.with_borrow_mut(|last| *last = None);
                drop(removed);
            }

            pub(super) fn get(id: u32) -> Result<Arc<$kind>> {
                let all = ALL.read().unwrap_or_else(PoisonError::into_inner);
                all.get(&id)
                    .cloned()
                    .ok_or_else(|| Error::new(Status::InvalidArg, format!(concat!("no ", $name, " has the id {}"), id)))
            }

            pub(super) fn with<T>(id: u32, use_it: impl FnOnce(&$kind) -> Result<T>) -> Result<T> {
                LAST.with_borrow_mut(|last| {
                    let removals = REMOVALS.load(Ordering::Acquire);
                    match last {
                        Some((known, at, thing)) if *known == id && *at == removals => use_it(thing),
                        _ => {
                            let (_, _, thing) = last.insert((id, removals, get(id)?));
                            use_it(thing)
                        }
                    }
                })
            }
        }
    };
}

pub(crate) use registry;
