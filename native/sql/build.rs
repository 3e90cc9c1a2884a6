//! Compiles `csrc/tree.c` against the headers that come with the `pg_query` crate: it keeps them to itself, so Cargo is asked
//! where it lies.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=csrc/tree.c");
    println!("cargo:rerun-if-env-changed=CFLAGS");
    let target = std::env::var("TARGET")?;
    let library = libpg_query(&target)?;
    let mut build = cc::Build::new();
    build.file("csrc/tree.c").warnings(false);
    for include in ["", "src", "src/include", "src/postgres/include", "vendor"] {
        build.include(library.join(include));
    }
    // As the library itself is compiled.
    if !target.contains("msvc") {
        build.flag("-fno-strict-aliasing").flag("-fwrapv");
    }
    if target.contains("windows") {
        build.include(library.join("src/postgres/include/port/win32"));
        if target.contains("msvc") {
            build.include(library.join("src/postgres/include/port/win32_msvc"));
        }
    }
    build.try_compile("sluice_tree")?;
    Ok(())
}

/// The sources of the C library.
fn libpg_query(target: &str) -> Result<PathBuf, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").ok_or("cargo did not say where it is")?;
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version=1",
            "--offline",
            "--locked",
            "--filter-platform",
            target,
        ])
        .current_dir(std::env::var("CARGO_MANIFEST_DIR")?)
        .output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let text = |package: &serde_json::Value, member: &str| package.get(member).and_then(|value| value.as_str()).map(str::to_owned);
    let packages = metadata.get("packages").and_then(|packages| packages.as_array());
    let manifest = packages
        .into_iter()
        .flatten()
        .find(|package| text(package, "name").as_deref() == Some("pg_query"))
        .and_then(|package| text(package, "manifest_path"))
        .ok_or("cargo metadata does not know pg_query")?;
    let directory = PathBuf::from(manifest).parent().ok_or("no directory")?.join("libpg_query");
    Ok(directory)
}
