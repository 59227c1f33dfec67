//! The benchmark runs, in short: a configuration that the product refuses by now would else be found by whoever measures next.
//! What it measures here means nothing.

use std::process::Command;

use serde_json::Value;

#[test]
fn both_rows_of_the_pipeline_are_measured() {
    let benchmark = env!("CARGO_BIN_EXE_coafi-bench");
    let product = std::path::Path::new(benchmark).with_file_name("coafi");
    assert!(
        product.exists(),
        "{} is not built: run `cargo test --workspace`, or `cargo build` first",
        product.display()
    );
    // Its topics are declared in the repository.
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let run = Command::new(benchmark)
        .args(["--only", "pipeline", "--records", "80000", "--latency-seconds", "1", "--output", "json"])
        .env("COAFI_BENCH_BINARY", product)
        .current_dir(repository)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{}: {stderr}", run.status);
    let rows: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("JSON lines and nothing else")).collect();
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["pipeline", "pipeline_at_least_once"]);
    for row in &rows {
        for figure in ["records_per_s", "raw_records_per_s", "ratio", "p50_ms", "p99_ms", "peak_rss_mib"] {
            assert!(row[figure].as_f64().is_some_and(|value| value > 0.0), "{figure}: {row}");
        }
    }
}
