//! Compiles `data/iin_ranges.json` into a static table and links Vectorscan.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=data/iin_ranges.json");
    let brands: Value = serde_json::from_str(&std::fs::read_to_string("data/iin_ranges.json")?)?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("brands.rs"), table(&brands)?)?;
    pkg_config::Config::new()
        .atleast_version("5.4")
        .probe("libhs")
        .map_err(|error| format!("Vectorscan is missing (Debian: apt install libvectorscan-dev): {error}"))?;
    Ok(())
}

fn table(brands: &Value) -> Result<String, Box<dyn Error>> {
    let mut code = String::from("static BRANDS: &[Brand] = &[\n");
    for brand in brands.as_array().ok_or("iin_ranges.json is not a list")? {
        let name = brand["brand"].as_str().ok_or("a brand lacks its name")?;
        let opt_in = brand["optIn"].as_bool().ok_or("a brand lacks optIn")?;
        let mut lengths = 0u8;
        for length in brand["lengths"].as_array().ok_or("a brand lacks its lengths")? {
            let length = length
                .as_u64()
                .filter(|n| (12..=19).contains(n))
                .ok_or("a length is not 12 to 19")?;
            lengths |= 1 << (length - 12);
        }
        write!(
            code,
            "    Brand {{ name: {name:?}, opt_in: {opt_in}, lengths: {lengths:#04x}, ranges: &["
        )?;
        for prefix in brand["prefixes"].as_array().ok_or("a brand lacks its prefixes")? {
            let prefix = prefix.as_str().ok_or("a prefix is not a string")?;
            let (low, high) = prefix.split_once('-').unwrap_or((prefix, prefix));
            write!(code, "({}, {}), ", four(low, '0')?, four(high, '9')?)?;
        }
        code.push_str("] },\n");
    }
    code.push_str("];\n");
    Ok(code)
}

/// The first four digits of a prefix, filled up where it is shorter. A longer prefix is rounded outwards.
fn four(prefix: &str, fill: char) -> Result<u16, Box<dyn Error>> {
    let digits: String = prefix.chars().chain(std::iter::repeat(fill)).take(4).collect();
    Ok(digits.parse()?)
}
