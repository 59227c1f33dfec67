//! A report as a page and as a table. The same facts give the same text.

use minijinja::value::Serde;
use minijinja::{Environment, context};

use super::facts::Facts;
use crate::dispatch::Failure;

/// The page's name says that what is filled in is escaped.
const PAGE: &str = "report.html";
const TEMPLATE: &str = include_str!("page.html");
const CSV_HEADER: [&str; 4] = ["section", "subject", "measure", "value"];

/// # Errors
/// Permanent: the template does not fit.
pub(super) fn html(facts: &Facts) -> Result<String, Failure> {
    let mut environment = Environment::new();
    let rendered = environment
        .add_template(PAGE, TEMPLATE)
        .and_then(|()| environment.get_template(PAGE)?.render(context! { facts => Serde(facts) }));
    rendered.map_err(|error| Failure::permanent("report_not_rendered", error))
}

/// As RFC 4180 has it. A section that has more than its rows ends with a row that says so.
pub(super) fn csv(facts: &Facts) -> String {
    let mut text = String::new();
    record(&mut text, &CSV_HEADER);
    let about = |measure, value: &dyn ToString| ("report".to_owned(), measure, value.to_string());
    for (section, measure, value) in
        [about("schedule", &facts.schedule), about("since", &facts.since), about("until", &facts.until)]
    {
        record(&mut text, &[&section, "", measure, &value]);
    }
    for section in &facts.sections {
        for row in &section.rows {
            record(&mut text, &[&section.name, &row.subject, &row.measure, &row.value]);
        }
        if section.more {
            record(&mut text, &[&section.name, "", "there is more", ""]);
        }
    }
    text
}

fn record(text: &mut String, fields: &[&str; CSV_HEADER.len()]) {
    text.push_str(&fields.map(field).join(","));
    text.push_str("\r\n");
}

/// A spreadsheet takes what begins with one of these characters for a formula: an apostrophe makes it text
/// (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::Kind;
    use super::super::facts::{ROWS_MAX, Section};
    use super::*;

    fn facts(section: Section) -> Facts {
        let (since, until) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(3_600).unwrap());
        Facts { report: Kind::Status, schedule: "hourly".to_owned(), since, until, sections: vec![section] }
    }

    #[test]
    fn fields_are_quoted_and_no_formula() {
        let check = |text: &str, expected: &str| assert_eq!(field(text), expected);
        check("plain text", "plain text");
        check("a,b", "\"a,b\"");
        check("say \"no\"", "\"say \"\"no\"\"\"");
        check("two\nlines", "\"two\nlines\"");
        check("=1+1", "\"'=1+1\"");
        check("@SUM(A1)", "\"'@SUM(A1)\"");
        check("-2", "\"'-2\"");
        check("a=b", "a=b");
    }

    #[test]
    fn a_table_is_whole_or_says_that_it_is_not() {
        let mut section = Section::new("registries");
        for n in 0..=ROWS_MAX {
            section.add(&format!("parts-{n}"), "entries", n);
        }
        let text = csv(&facts(section));
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        let expected =
            ["section,subject,measure,value", "report,,schedule,hourly", "report,,since,1970-01-01T00:00:00Z"];
        assert_eq!(lines[..3], expected);
        assert_eq!(lines.len(), 4 + ROWS_MAX + 1);
        assert_eq!(*lines.last().unwrap(), "registries,,there is more,");
    }

    #[test]
    fn nothing_in_a_page_is_markup_but_ours() {
        let mut section = Section::new("registries");
        section.add("<script>alert('x')</script>", "\"entries\"", "a & b");
        let page = html(&facts(section)).unwrap();
        assert!(page.contains("&lt;script&gt;alert(&#x27;x&#x27;)&lt;&#x2f;script&gt;"), "{page}");
        assert!(page.contains("a &amp; b") && !page.contains("<script"), "{page}");
    }
}
