//! The reference page: the OpenAPI document as people read it. One file without scripts, which loads nothing from anywhere.

use std::fmt::Write as _;

use serde_json::Value;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
                     h2{border-top:1px solid #8888;padding-top:1rem}code,pre{font:14px/1.4 ui-monospace,monospace}\
                     pre{background:#8882;padding:.75rem;overflow:auto}td,th{text-align:left;padding:.1rem 1rem .1rem 0;\
                     vertical-align:top}:root{color-scheme:light dark}";

/// The page for a document.
pub(super) fn page(document: &Value) -> String {
    let title = escaped(text(&document["info"]["title"]));
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{}</p>\
         <p>As <a href=\"/openapi.json\">OpenAPI 3.1</a>. Send <code>Authorization: Bearer …</code> or \
         <code>X-API-Key: …</code>.</p>",
        escaped(text(&document["info"]["description"]))
    );
    for (path, operations) in members(&document["paths"]) {
        for (method, operation) in members(operations) {
            section(&mut html, document, path, method, operation);
        }
    }
    html
}

fn section(html: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let (method, path) = (method.to_ascii_uppercase(), escaped(path));
    let id = escaped(text(&operation["operationId"]));
    add(html, &format!("<section id=\"{id}\"><h2><code>{method} {path}</code></h2>"));
    add(html, &format!("<p>{}</p>", escaped(text(&operation["description"])).replace("\n\n", "</p><p>")));
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let rows: String = parameters.map(|p| row(text(&p["name"]), text(&p["description"]))).collect();
    if !rows.is_empty() {
        add(html, &format!("<h3>Parameters</h3><table>{rows}</table>"));
    }
    for (media, content) in members(&operation["requestBody"]["content"]) {
        let schema = resolved(document, &content["schema"]);
        let shown = serde_json::to_string_pretty(schema).unwrap_or_default();
        add(html, &format!("<h3>Body: <code>{}</code></h3><pre>{}</pre>", escaped(media), escaped(&shown)));
    }
    let responses = members(&operation["responses"]);
    let said = |response| text(&resolved(document, response)["description"]);
    let rows: String = responses.map(|(status, response)| row(status, said(response))).collect();
    add(html, &format!("<h3>Answers</h3><table>{rows}</table></section>"));
}

fn row(name: &str, description: &str) -> String {
    format!("<tr><th scope=\"row\"><code>{}</code><td>{}", escaped(name), escaped(description))
}

/// What a reference leads to; what is none is itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let referred = value["$ref"].as_str().and_then(|reference| document.pointer(reference.strip_prefix('#')?));
    referred.unwrap_or(value)
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn add(html: &mut String, text: &str) {
    html.write_str(text).expect("a String takes all");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::Catalogue;
    use crate::http::api::openapi;

    #[test]
    fn every_operation_is_on_the_page_and_nothing_of_a_schema_is_markup() {
        let mut document = openapi::document(&Catalogue::build(&[]).unwrap());
        document["info"]["title"] = "<script>alert(1)</script>".into();
        let page = page(&document);
        for shown in [
            "POST /registry/update",
            "POST /workflow/start",
            "GET /requests/{id}",
            "expectedVersion",
            "permission is missing",
        ] {
            assert!(page.contains(shown), "{shown}");
        }
        assert!(!page.contains("<script"), "{page}");
    }
}
