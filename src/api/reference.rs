//! The reference page of the resource, in Markdown, from the schema of its definition.
//!
//! `docs/reference/` holds what [`markdown`] returns; a test keeps the two equal. `kudu-pair crd --reference` prints it.

use std::fmt::Write as _;

use serde_json::Value;

use super::{RESERVED_FLAGS, crd};

/// Name of the file that holds the page.
pub const REFERENCE_FILE: &str = "kudumasterpair.md";

const HEAD: &str = "\
# KuduMasterPair

Every field of the resource, made from the definition that the API server checks it by (`make crds`). `kubectl explain kmp.spec` says the
same. Every field of the spec has a default, so this is a whole pair:

```yaml
apiVersion: kudupair.io/v1alpha1
kind: KuduMasterPair
metadata:
  name: demo
spec: {}
```
";

/// The page.
///
/// # Errors
/// When the definition cannot be written as JSON.
pub fn markdown() -> Result<String, serde_json::Error> {
    let definition = serde_json::to_value(crd::definition())?;
    let version = &definition["spec"]["versions"][0];
    let mut page = HEAD.to_owned();
    page.push_str("\n`kubectl get kmp` shows\n\n| column | field |\n|---|---|\n");
    for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
        let path = text(column, "jsonPath").trim_start_matches('.');
        line(&mut page, &[text(column, "name").to_uppercase(), format!("`{path}`")]);
    }
    let schema = &version["schema"]["openAPIV3Schema"];
    let rules: Vec<_> = messages(schema).collect();
    list(&mut page, "The API server refuses a pair that breaks one of these rules:", &rules);
    for part in ["spec", "status"] {
        section(&mut page, part, &schema["properties"][part]);
    }
    Ok(page)
}

/// One object with its fields, then the objects in it.
fn section(page: &mut String, path: &str, schema: &Value) {
    let _ = write!(
        page,
        "\n## {path}\n\n{}\n\n| field | type | what |\n|---|---|---|\n",
        prose(text(schema, "description"))
    );
    let fields: Vec<_> = schema["properties"].as_object().into_iter().flatten().collect();
    for (name, field) in &fields {
        let mut what = prose(text(field, "description"));
        if *name == "flags" && path == "spec.kudu" {
            let _ = write!(what, " Reserved: `{}`.", RESERVED_FLAGS.join("`, `"));
        }
        line(page, &[format!("`{name}`"), kind(path, name, field), what]);
    }
    let rules: Vec<_> = messages(schema).collect();
    list(page, "Rules:", &rules);
    for (name, field) in &fields {
        if let Some((path, object)) = inner(path, name, field) {
            section(page, &path, object);
        }
    }
}

/// The object that a field holds, and the name of its section.
fn inner<'a>(path: &str, name: &str, field: &'a Value) -> Option<(String, &'a Value)> {
    let (mark, object) = if field["items"].is_object() { ("[]", &field["items"]) } else { ("", field) };
    object["properties"].is_object().then(|| (format!("{path}.{name}{mark}"), object))
}

/// What a field holds, in words.
fn kind(path: &str, name: &str, field: &Value) -> String {
    if let Some((path, _)) = inner(path, name, field) {
        let list = if field["items"].is_object() { "list of " } else { "" };
        return format!("{list}[{path}](#{})", anchor(&path));
    }
    if field["items"].is_object() {
        return format!("list of {}", scalar(&field["items"]));
    }
    if field["additionalProperties"].is_object() {
        return format!("map of names to {}", scalar(&field["additionalProperties"]));
    }
    scalar(field)
}

fn scalar(field: &Value) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<_> = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
        return values.join(", ");
    }
    if field["x-kubernetes-int-or-string"] == true {
        return "quantity".to_owned();
    }
    match (text(field, "type"), text(field, "format")) {
        ("integer", _) => match (field["minimum"].as_f64(), field["maximum"].as_f64()) {
            (Some(least), Some(most)) => format!("number, {least} to {most}"),
            (Some(least), None) => format!("number, at least {least}"),
            _ => "number".to_owned(),
        },
        ("boolean", _) => "`true`, `false`".to_owned(),
        (_, "date-time") => "time".to_owned(),
        _ => "text".to_owned(),
    }
}

/// What the API server says when a rule of this object is broken.
fn messages(schema: &Value) -> impl Iterator<Item = String> {
    schema["x-kubernetes-validations"].as_array().into_iter().flatten().map(|rule| prose(text(rule, "message")))
}

fn list(page: &mut String, head: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    let _ = write!(page, "\n{head}\n\n");
    for item in items {
        let _ = writeln!(page, "- {item}");
    }
}

fn line(page: &mut String, cells: &[String]) {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// One line, in which nothing but code looks like HTML.
fn prose(text: &str) -> String {
    let mut in_code = false;
    let mut line = String::new();
    for character in text.trim().chars() {
        in_code ^= character == '`';
        match character {
            '\n' => line.push(' '),
            '<' if !in_code => line.push_str("&lt;"),
            other => line.push(other),
        }
    }
    line
}

/// The anchor that a heading has, in mdBook and elsewhere.
fn anchor(heading: &str) -> String {
    heading.chars().filter(|character| character.is_alphanumeric()).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_page_is_what_the_code_generates() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(REFERENCE_FILE);
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == markdown().unwrap(),
            "{} is not what the code generates; run: cargo run -- crd --reference --out docs/reference",
            file.display()
        );
    }

    #[test]
    fn every_object_has_its_section_and_every_field_its_line() {
        let page = markdown().unwrap();
        for heading in ["spec", "spec.storage.wal", "status.members[]", "status.members[].unfitLog"] {
            assert!(page.contains(&format!("\n## {heading}\n")), "no section {heading}");
        }
        assert!(page.contains("| `mode` | `Automatic`, `Approval`, `Off` | Who decides"), "{page}");
        assert!(page.contains("| `standbys` | number, 1 to 4 |"), "{page}");
        assert!(page.contains("| `wal` | [spec.storage.wal](#specstoragewal) |"), "{page}");
    }

    #[test]
    fn only_code_may_look_like_html() {
        assert_eq!(prose("a <b>\nof `<pair>-N`"), "a &lt;b> of `<pair>-N`");
    }
}
