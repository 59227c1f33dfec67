//! Repository rules as tests: what a reviewer would otherwise have to look for.
//!
//! Rules about source text read it as text, without comments and without the items behind `#[cfg(test)]`. Where a rule looks
//! for a word, the word is put together here (`concat!`), so that the rule does not find itself.

#[path = "tidy/handlers.rs"]
mod handlers;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// No file of `src` is longer, tests apart.
const SOURCE_LINES_MAX: usize = 450;

const EDGES: [&str; 12] = [
    "cli",
    "kafka",
    "http",
    "store",
    "connectors",
    "runtime",
    "telemetry",
    "schema",
    "config",
    "dlq",
    "notify",
    "outgoing",
];
const APPLICATION: [&str; 5] = ["dispatch", "handlers", "bitt", "registry", "group"];
/// What the core of workflows names besides itself, expressions and templates.
const OF_WORKFLOWS: [&str; 7] = [
    "schema::Shape",
    "dispatch::delay",
    "yaml::from_str",
    // How outages are named.
    "engine::Dependency",
    "dispatch::DEPENDENCIES",
    "outgoing::HTTP_ENDPOINT",
    "notify::NOTIFY",
];

/// Paths of an edge that the application layer may name besides the items of an edge's root module.
const CONTRACTS_BELOW_THE_ROOT: [&str; 4] = ["connectors::git", "kafka::scan", "schema::json", "schema::payloads"];

/// What the engine would need to be anything but a function of its inputs.
const IMPURE: [&str; 11] = [
    "async ",
    "tokio::",
    "tracing::",
    "println!",
    "Instant",
    "SystemTime",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::io",
];

#[test]
fn the_engine_is_pure() {
    for file in rust_files("src/engine") {
        let code = production_code(&file);
        let modules: BTreeSet<String> = code.lines().filter_map(declared_module).collect();
        for path in used_paths(&code) {
            let root = path.split("::").next().unwrap_or_default();
            let allowed = ["std", "super", "self", "crate"].contains(&root) || modules.contains(root);
            assert!(allowed, "{}: `use {path}`: the engine imports std, crate::event and itself", file.display());
        }
        for path in crate_paths(&code) {
            let module = path.split("::").next().unwrap_or_default();
            assert!(["engine", "event"].contains(&module), "{}: crate::{path} is not the core's", file.display());
        }
        for word in IMPURE {
            assert!(!code.contains(word), "{}: {word:?} has no place in the engine", file.display());
        }
    }
}

#[test]
fn the_core_of_workflows_is_pure() {
    for file in rust_files("src/workflow").into_iter().chain(rust_files("src/expression.rs")) {
        let code = production_code(&file);
        for word in IMPURE {
            assert!(!code.contains(word), "{}: {word:?} has no place in what a run does next", file.display());
        }
    }
}

#[test]
fn dependencies_point_inward() {
    for file in rust_files("src") {
        let components: Vec<_> = file.iter().filter_map(|part| part.to_str()).collect();
        // `lib.rs`, `main.rs` and `app.rs` wire everything: they stand above the layers.
        let &[_, module, ..] = &components[..] else { continue };
        for path in crate_paths(&production_code(&file)) {
            assert!(
                may_name(module, &path),
                "{}: the module {module} may not name crate::{path} (see the table in src/lib.rs)",
                file.display()
            );
        }
    }
}

/// The table of `src/lib.rs`. `path` is what follows `crate::`, with at least one module.
fn may_name(module: &str, path: &str) -> bool {
    let target = path.split("::").next().unwrap_or_default();
    match module {
        "event" => target == "event",
        "engine" => ["event", "engine"].contains(&target),
        "schedule" => target == "schedule",
        "expression" => target == "expression",
        "jinja" => target == "jinja",
        "numbers" => target == "numbers",
        "workflow" => ["workflow", "expression", "jinja", "numbers"].contains(&target) || OF_WORKFLOWS.contains(&path),
        // Edges and `app` see everything except the command line, which sees everything.
        _ if !APPLICATION.contains(&module) => target != "cli" || ["cli", "main.rs", "app"].contains(&module),
        _ if target == "cli" || target == "http" => false,
        _ if EDGES.contains(&target) => {
            let item = path.split("::").nth(1).unwrap_or_default();
            item.starts_with(|first: char| first.is_ascii_uppercase())
                || CONTRACTS_BELOW_THE_ROOT.iter().any(|contract| path.starts_with(contract))
        }
        _ => true,
    }
}

#[test]
fn the_table_of_layers_is_read_right() {
    for (module, path, allowed) in [
        ("event", "engine::Time", false),
        ("engine", "event::Offset", true),
        ("engine", "runtime::Clock", false),
        ("schedule", "runtime::Clock", false),
        ("workflow", "schema::Shape", true),
        ("workflow", "store::Store", false),
        ("dispatch", "store::Store", true),
        ("dispatch", "store::postgres::PostgresStore", false),
        ("handlers", "schema::json::JsonSchemas", true),
        ("handlers", "http::Server", false),
        ("kafka", "dispatch::Dispatcher", true),
        ("kafka", "cli::Cli", false),
    ] {
        assert_eq!(may_name(module, path), allowed, "{module} → {path}");
    }
    assert_eq!(
        crate_paths("use crate::store::{Fence, sqlite::Store};\nlet a = crate::event::Offset(1);"),
        ["store::Fence", "store::sqlite::Store", "event::Offset"]
    );
}

/// What judges the product from outside, and the only crate of ours that each of these may use.
const OUTSIDE: [&str; 2] = ["chaos", "testcontainers"];
const SERVERS: &str = "coafi-testcontainers";

#[test]
fn what_judges_the_product_shares_no_code_with_it() {
    for directory in OUTSIDE {
        let manifest = read(&Path::new(directory).join("Cargo.toml"));
        assert_eq!(
            shared_crates(&manifest),
            [""; 0],
            "{directory}: it would judge the product by the product's own code"
        );
        for file in rust_files(directory) {
            let text = read(&file);
            let shared = shared_files(&text);
            assert!(shared.is_empty(), "{}: {shared:?} is code of another crate", file.display());
        }
    }
}

/// Dependencies that are in this workspace, by name or by path, and targets that are.
fn shared_crates(manifest: &str) -> Vec<&str> {
    let lines = manifest.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let named = lines.filter_map(|line| line.split_once('=').or_else(|| Some((line.strip_prefix('[')?, ""))));
    let ours = |(name, what): &(&str, &str)| {
        let package = name.rsplit('.').next().unwrap_or_default().trim_matches([' ', ']', '"']);
        let is_named = package.starts_with("coafi") || what.contains("\"coafi");
        let elsewhere = what.contains("path =") || *name == "path " && what.contains("..");
        (is_named || elsewhere) && package != SERVERS
    };
    // What the crate itself is called, and its targets, is no dependency.
    let targets = ["name", "description", "repository"];
    named.filter(ours).map(|(name, _)| name.trim()).filter(|name| !targets.contains(name)).collect()
}

/// Attributes and macros that compile a file from elsewhere.
fn shared_files(text: &str) -> Vec<&str> {
    let words = ["#[path", "include!(", "#![path"];
    let lines = text.lines().map(|line| without_comment(line).trim());
    lines.filter(|line| words.iter().any(|word| without_literals(line).contains(word))).collect()
}

#[test]
fn code_that_is_shared_is_found() {
    let manifest = "[package]\nname = \"coafi-chaos\"\n[lib]\nname = \"coafi_chaos\"\npath = \"../src/lib.rs\"\n\
                    [[bin]]\npath = \"src/main.rs\"\n[dependencies]\nanyhow = \"1\"\n\
                    coafi-testcontainers = { path = \"../testcontainers\" }\n# coafi = { path = \"..\" }\n\
                    coafi = { path = \"..\" }\nengine = { package = \"coafi-simulation\", version = \"1\" }\n\
                    inner = { path = \"../src\" }\n[dependencies.coafi-core]\nversion = \"1\"\n";
    assert_eq!(shared_crates(manifest), ["path", "coafi", "engine", "inner", "dependencies.coafi-core]"]);
    let code = "use std::path::Path; // #[path = \"../../src/engine/mod.rs\"]\n#[path = \"../../src/engine/mod.rs\"]\nmod engine;\n\
                include!(\"../../src/event/mod.rs\");\nlet topic = include_str!(\"../../topics/coafi.status.yaml\");\nlet a = \"include!(\";";
    let expected = ["#[path = \"../../src/engine/mod.rs\"]", "include!(\"../../src/event/mod.rs\");"];
    assert_eq!(shared_files(code), expected);
}

#[test]
fn files_hold_one_idea() {
    for file in rust_files("src") {
        if file.ends_with("tests.rs") {
            continue;
        }
        let lines = read(&file).lines().count();
        assert!(lines <= SOURCE_LINES_MAX, "{}: {lines} lines; what is the second idea?", file.display());
    }
}

#[test]
fn names_say_what_is_inside() {
    const EMPTY_NAMES: [&str; 9] =
        ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "stuff"];
    for file in tracked_files() {
        for part in file.iter().filter_map(|part| part.to_str()) {
            let stem = part.split('.').next().unwrap_or_default();
            let empty = stem.split(['_', '-']).any(|word| EMPTY_NAMES.contains(&word));
            assert!(!empty, "{}: {stem:?} says nothing about what is inside", file.display());
        }
    }
}

#[test]
fn nothing_is_unfinished() {
    let needles = [concat!("#[", "ignore"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    for file in tracked_files().into_iter().filter(|file| has_extension(file, "rs")) {
        let text = read(&file);
        for needle in needles {
            assert!(!text.contains(needle), "{}: {needle} is not done", file.display());
        }
    }
}

#[test]
fn every_dependency_has_a_reason() {
    for manifest in tracked_files().into_iter().filter(|file| file.ends_with("Cargo.toml")) {
        let without = dependencies_without_reason(&read(&manifest));
        assert!(without.is_empty(), "{}: {without:?} have no comment, and their groups have none", manifest.display());
    }
}

/// A dependency's reason is the comment above it or above the first line of its group (lines without a blank one).
fn dependencies_without_reason(manifest: &str) -> Vec<String> {
    let mut without = Vec::new();
    let (mut in_dependencies, mut reason) = (false, false);
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
            reason = false;
        } else if line.is_empty() {
            reason = false;
        } else if line.starts_with('#') {
            reason = true;
        } else if let Some((name, _)) = line.split_once('=').filter(|_| in_dependencies && !reason) {
            without.push(name.trim().to_owned());
        }
    }
    without
}

#[test]
fn dependencies_without_a_comment_are_found() {
    let manifest = "[package]\nname = 1\n[dependencies]\na = 1\n\n# why\nb = 1\nc = 1\n[dev-dependencies]\nd = 1\n";
    assert_eq!(dependencies_without_reason(manifest), ["a", "d"]);
}

#[test]
fn no_machine_is_named() {
    let needles = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/fa", "rm/"), concat!("/home", "/")];
    for file in tracked_files() {
        // What is not text has no such path in it that anyone would read.
        let Ok(text) = fs::read_to_string(top().join(&file)) else { continue };
        for needle in needles {
            assert!(!text.contains(needle), "{}: {needle} exists on one machine only", file.display());
        }
    }
}

#[test]
fn every_handler_registers_itself() {
    let Ok(entries) = fs::read_dir(top().join("src/handlers")) else { return };
    // A handler is `name.rs`, with what it needs beside it in `name/`, or all of it in `name/`.
    let names: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path().with_extension("")).collect();
    for name in names.into_iter().filter(|name| !name.ends_with("mod")) {
        let name = name.strip_prefix(top()).unwrap();
        let mut files =
            tracked_files().into_iter().filter(|file| file.starts_with(name) || *file == name.with_extension("rs"));
        let registers = files.any(|file| read(&file).contains("inventory::submit!"));
        assert!(registers, "{}: registers no handler", name.display());
    }
}

#[test]
fn every_avro_schema_parses() {
    let files: Vec<_> =
        tracked_files().into_iter().filter(|file| file.starts_with("avro") && has_extension(file, "avsc")).collect();
    for file in &files {
        serde_json::from_str::<serde_json::Value>(&read(file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
    // Together, since they name each other's types.
    let texts: Vec<String> = files.iter().map(|file| read(file)).collect();
    apache_avro::Schema::parse_list(&texts).unwrap_or_else(|error| panic!("avro/: {error}"));
}

#[test]
fn every_yaml_file_parses() {
    let files = tracked_files().into_iter().filter(|file| has_extension(file, "yaml") || has_extension(file, "yml"));
    // Helm's templates become YAML only once they are rendered, and some test fixtures are broken on purpose.
    for file in files.filter(|file| !file.iter().any(|part| part == "templates" || part == "fixtures")) {
        serde_saphyr::from_str::<serde_json::Value>(&read(&file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

/// Cargo wants the manifest of every member, also of those that it does not compile.
#[test]
fn the_image_is_built_with_every_member_of_the_workspace() {
    let manifest = read(Path::new("Cargo.toml"));
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("the workspace has members");
    let context = read(Path::new(".dockerignore"));
    for member in members.split('"').skip(1).step_by(2) {
        let directory = member.split('/').next().unwrap_or_default();
        assert!(context.lines().any(|line| line == format!("!{directory}")), ".dockerignore leaves out {directory}");
    }
}

/// What Helm and Terraform set is looked at by nobody before a replica starts, and refuses what it does not know.
#[test]
fn deployments_set_only_what_there_is() {
    let settings = settings_of(&yaml("coafi.yaml"));
    let deploys = |file: &PathBuf| file.starts_with("helm") || file.starts_with("terraform");
    let mut seen = 0;
    for file in tracked_files().into_iter().filter(deploys) {
        for variable in variables(&read(&file)) {
            assert!(is_set_by(&variable, &settings), "{}: {variable} sets nothing", file.display());
            seen += 1;
        }
    }
    assert!(seen > 0, "no variable was found");
    for setting in settings_of(&yaml("helm/coafi-event-handlers/values.yaml")["config"]) {
        assert!(is_set_by(&setting, &settings), "values.yaml: config: {setting} is no setting");
    }
}

fn yaml(file: &str) -> serde_json::Value {
    serde_saphyr::from_str(&read(Path::new(file))).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The keys of a configuration, as variables; of a mapping that is empty its own, with the dividing `__` at its end.
fn settings_of(value: &serde_json::Value) -> Vec<String> {
    fn walk(name: &str, value: &serde_json::Value, found: &mut Vec<String>) {
        match value.as_object() {
            Some(members) if members.is_empty() => found.push(format!("{name}__")),
            Some(members) => {
                for (key, member) in members {
                    walk(&format!("{name}__{}", key.to_uppercase()), member, found);
                }
            }
            None => found.push(name.to_owned()),
        }
    }
    let mut found = Vec::new();
    walk("COAFI", value, &mut found);
    found
}

fn is_set_by(variable: &str, settings: &[String]) -> bool {
    settings.iter().any(|setting| {
        let open = setting.ends_with("__") && variable.starts_with(setting.as_str());
        // A secret is in a file or in the environment; coafi.yaml has the key of its file.
        open || setting == variable || setting.strip_suffix("_FILE") == Some(variable)
    })
}

/// The names of variables of ours in a text.
fn variables(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.starts_with("COAFI__")).map(str::to_owned).collect()
}

#[test]
fn variables_that_set_nothing_are_found() {
    let settings = settings_of(
        &serde_json::json!({"kafka": {"group_id": "a", "client": {}}, "database": {"password_file": null}}),
    );
    for (variable, sets) in [
        ("COAFI__KAFKA__GROUP_ID", true),
        ("COAFI__KAFKA__CLIENT__SASL_USERNAME", true),
        ("COAFI__DATABASE__PASSWORD", true),
        ("COAFI__KAFKA__GRUOP_ID", false),
        ("COAFI__KAFKA", false),
        ("COAFI__DATABASE__PASS", false),
    ] {
        assert_eq!(is_set_by(variable, &settings), sets, "{variable}");
    }
    assert_eq!(variables("- name: COAFI__KAFKA__SLOT\n\"COAFI__A\" = 1"), ["COAFI__KAFKA__SLOT", "COAFI__A"]);
}

#[test]
fn documented_make_targets_exist() {
    let makefile = read(Path::new("Makefile"));
    let targets: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let says_so = |file: &PathBuf| has_extension(file, "md") || file.starts_with(".github");
    for file in tracked_files().into_iter().filter(says_so) {
        for target in made_targets(&read(&file).replace("- run: make", "make")) {
            assert!(targets.contains(target.as_str()), "{}: the Makefile has no target {target}", file.display());
        }
    }
    let readme = read(Path::new("README.md"));
    for command in ["make run", "make test"] {
        assert!(readme.contains(command), "README.md does not name `{command}`");
    }
}

/// The words after `make` in code spans and code blocks: "`make run`", or a line `make up NAME=x`.
fn made_targets(markdown: &str) -> Vec<String> {
    let is_target = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let mut targets = Vec::new();
    for line in markdown.lines() {
        let spans = line.split('`').skip(1).step_by(2);
        for code in spans.chain([line.trim_start_matches(['$', ' '])]) {
            if let Some(arguments) = code.strip_prefix("make ") {
                targets.extend(arguments.split_whitespace().take_while(|word| is_target(word)).map(str::to_owned));
            }
        }
    }
    targets
}

#[test]
fn make_commands_are_found_in_markdown() {
    let markdown = "Use `make up NAME=x`, then\n\n    $ make lint test\n\nto make things.";
    assert_eq!(made_targets(markdown), ["up", "lint", "test"]);
}

// --- reading the repository ---

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(relative: &Path) -> String {
    fs::read_to_string(top().join(relative)).unwrap_or_else(|error| panic!("{}: {error}", relative.display()))
}

fn has_extension(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|have| have == extension)
}

/// Files that git tracks or would (new and not ignored), relative to the top, those in `tests` included.
fn tracked_files() -> Vec<PathBuf> {
    let git = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(top())
        .output()
        .expect("git runs");
    assert!(git.status.success(), "git ls-files: {}", String::from_utf8_lossy(&git.stderr));
    let names = String::from_utf8(git.stdout).expect("tracked names are UTF-8");
    let files: Vec<PathBuf> =
        names.split_terminator('\0').map(PathBuf::from).filter(|file| top().join(file).is_file()).collect();
    assert!(files.len() > 20, "only {} files are tracked: not the repository", files.len());
    files
}

/// The Rust files below `directory`, relative to the top.
fn rust_files(directory: &str) -> Vec<PathBuf> {
    let files: Vec<_> =
        tracked_files().into_iter().filter(|file| file.starts_with(directory) && has_extension(file, "rs")).collect();
    assert!(!files.is_empty(), "no Rust files in {directory}");
    files
}

/// The file without comments and without its tests.
fn production_code(file: &Path) -> String {
    if file.ends_with("tests.rs") || file.iter().any(|part| part == "tests") {
        return String::new();
    }
    without_tests_and_comments(&read(file))
}

/// Leaves out the item that each `#[cfg(test)]` stands before: to its semicolon, or to the brace that closes it.
fn without_tests_and_comments(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().map(without_comment);
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let mut depth = 0;
            let mut is_open = |line: &str| {
                let plain = without_literals(line);
                depth += plain.matches('{').count();
                depth = depth.saturating_sub(plain.matches('}').count());
                depth > 0 || !plain.trim_end().ends_with(['}', ';'])
            };
            while lines.next().is_some_and(&mut is_open) {}
        } else {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// A line up to its comment. A `//` within a string, as in a URL, is none.
fn without_comment(line: &str) -> &str {
    let plain = without_literals(line);
    plain.find("//").map_or(line, |at| &line[..at])
}

/// A line of the same length with dots for the content of its strings and characters. Strings of several lines are not
/// followed: the worst is a line too much or too little.
fn without_literals(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let quoted = match c {
            '"' => end_of_literal(&line[at + 1..], '"'),
            // A lifetime has no quote at its end.
            '\'' => end_of_literal(&line[at + 1..], '\'').filter(|end| *end == 1 || line[at + 1..].starts_with('\\')),
            _ => None,
        };
        plain.push(c);
        if let Some(end) = quoted {
            plain.push_str(&".".repeat(end));
            plain.push(c);
            while rest.next_if(|(next, _)| *next <= at + 1 + end).is_some() {}
        } else if c.len_utf8() > 1 {
            plain.pop();
            plain.push_str(&".".repeat(c.len_utf8()));
        }
    }
    plain
}

/// Where the quote is that closes a literal, backslashes considered.
fn end_of_literal(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

#[test]
fn code_after_tests_and_after_urls_is_judged() {
    let text = "mod a; // one\n#[cfg(test)]\nmod tests;\nmod b;\n#[cfg(test)]\nfn c() {\n    let d = '}';\n    \"}\";\n}\n\
                let url = \"http://e\"; f(); // two\nlet g = '\"'; h::<'i>(\"\\\"//\");\n#[cfg(test)]\nmod j {\n    fn k() {}\n}\nl();";
    let expected = "mod a; \nmod b;\nlet url = \"http://e\"; f(); \nlet g = '\"'; h::<'i>(\"\\\"//\");\nl();\n";
    assert_eq!(without_tests_and_comments(text), expected);
}

fn declared_module(line: &str) -> Option<String> {
    let declaration = line.trim().strip_suffix(';')?;
    let (_, name) = declaration.split_once("mod ")?;
    Some(name.to_owned())
}

/// What `use` declarations name, up to the first brace.
fn used_paths(code: &str) -> Vec<String> {
    let lines = code.lines().map(|line| line.trim().trim_start_matches("pub ").trim_start_matches("pub(crate) "));
    lines.filter_map(|line| Some(line.strip_prefix("use ")?.trim_end_matches([';', '{']).to_owned())).collect()
}

/// Every path that starts with `crate::`, without that prefix; a braced group is several paths.
fn crate_paths(code: &str) -> Vec<String> {
    // `$crate::` belongs to macros, and `pub(crate)` has no colons.
    paths_below("crate::", code)
}

fn paths_below(root: &str, code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for after in code.split(root).skip(1) {
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let path: String = after.chars().take_while(|c| is_path(*c)).collect();
        match after[path.len()..].strip_prefix('{').filter(|_| path.ends_with("::") || path.is_empty()) {
            Some(group) => {
                let group = group.split('}').next().unwrap_or_default().replace('{', ",");
                let members = group.split(',').map(str::trim).filter(|member| !member.is_empty());
                paths.extend(members.map(|member| format!("{path}{member}")));
            }
            None => paths.push(path.trim_end_matches(':').to_owned()),
        }
    }
    paths
}
