//! Prints the analysis of each argument: `cargo run --release -p sluice-sql --example analyze -- "select 1"`.

fn main() {
    for sql in std::env::args().skip(1) {
        match serde_json::to_string_pretty(&sluice_sql::analyze(sql.as_bytes())) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("{error}"),
        }
    }
}
