//! The rows of the report: JSON lines for programs, a table for people.

use serde::Serialize;

/// One row. `ratio` is what counts: absolute figures do not hold from one machine, or one minute, to the next.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) records_per_s: f64,
    pub(crate) raw_records_per_s: f64,
    pub(crate) ratio: f64,
    pub(crate) cpu_us_per_record: f64,
    pub(crate) raw_cpu_us_per_record: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) peak_rss_mib: f64,
}

pub(crate) fn print(rows: &[Row], json: bool) -> anyhow::Result<()> {
    if json {
        return lines(rows);
    }
    table(
        &["", "records/s", "raw records/s", "ratio", "CPU µs/record", "raw", "p50 ms", "p99 ms", "peak MiB"],
        rows.iter().map(|row| {
            vec![
                row.name.to_owned(),
                format!("{:.0}", row.records_per_s),
                format!("{:.0}", row.raw_records_per_s),
                format!("{:.2}", row.ratio),
                format!("{:.2}", row.cpu_us_per_record),
                format!("{:.2}", row.raw_cpu_us_per_record),
                format!("{:.1}", row.p50_ms),
                format!("{:.1}", row.p99_ms),
                format!("{:.0}", row.peak_rss_mib),
            ]
        }),
    );
    Ok(())
}

/// For programs.
pub(crate) fn lines(rows: &[impl Serialize]) -> anyhow::Result<()> {
    for row in rows {
        println!("{}", serde_json::to_string(row)?);
    }
    Ok(())
}

/// For people.
pub(crate) fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = comfy_table::Table::new();
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    println!("{table}");
}
