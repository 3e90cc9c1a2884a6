//! Parsing must leave the process's stderr alone: see `.cargo/config.toml`.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn parsing_never_redirects_stderr() {
    let target = || std::fs::read_link("/proc/self/fd/2").expect("stderr is open");
    let before = target();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..5000 {
                let _ = sluice_sql::analyze(b"select a, b from t where c = 'x' and d in (select e from f)");
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            assert_eq!(target(), before, "libpg_query was built without DEBUG");
        }
    });
}
