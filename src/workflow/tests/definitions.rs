//! What is wrong in a file is named with its line.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};

use crate::workflow::{Definition, Known};

fn check(text: &str, expected: Expect) {
    let types = ["a.b", "c.d"].map(str::to_owned).into();
    let topics = [("coafi.bitt".to_owned(), types), ("coafi.notifications".to_owned(), BTreeSet::new())].into();
    let (endpoints, channels) = (["scorer".to_owned()].into(), ["ops".to_owned()].into());
    let (severities, kept) = (["info".to_owned()].into(), ["documents".to_owned()].into());
    let known = Known { topics, endpoints, channels, severities, kept };
    let error = Definition::parse("w.yaml", text, Some(&known)).unwrap_err();
    expected.assert_eq(&error.to_string());
}

fn check_steps(steps: &str, expected: Expect) {
    check(&format!("name: W\nversion: 1\ninput: {{}}\nsteps:\n{steps}"), expected);
}

#[test]
fn what_the_documentation_shows_of_the_audit_trigger_is_one() {
    let page = include_str!("../../../docs/bitt-trigger.md");
    let shown = page.split("```yaml\n").find(|text| text.starts_with("name: ")).unwrap();
    let (text, _) = shown.split_once("```").unwrap();
    Definition::parse("w.yaml", text, None).unwrap();
}

#[test]
fn of_the_whole() {
    check("", expect!["w.yaml:1: unexpected end of input at line 1, column 1"]);
    check(
        "name: W\nversion: 1\ninput: {}\nstep: []",
        expect![
            "w.yaml:4: unknown field `step`, expected one of name, version, description, input, dependencies, on, steps, output at line 4, column 1"
        ],
    );
    check(
        "name: a b\nversion: 1\ninput: {}\nsteps: []",
        expect![[
            r#"w.yaml:1: name: "a b" is not allowed; allowed: 1 to 100 letters, digits, "_" and "-", a letter first"#
        ]],
    );
    check(
        "name: W\nversion: 0\ninput: {}\nsteps: []",
        expect!["w.yaml:2: version: 0 is not allowed; allowed: a whole number from 1"],
    );
    check(
        "name: W\nversion: 1\ninput: {type: thing}\nsteps: []",
        expect![[
            r#"w.yaml:3: input: is no JSON Schema: "thing" is not valid under any of the schemas listed in the 'anyOf' keyword"#
        ]],
    );
    check("name: W\nversion: 1\ninput: {}\nsteps: []", expect!["w.yaml:1: steps: has no step; allowed: at least one"]);
    check(
        "name: W\nversion: 1\ninput: {}\non:\n  - {type: x, when: a.b}\nsteps: []",
        expect![[r#"w.yaml:5: on.when: "a.b" names "a"; allowed: event, data"#]],
    );
    let output = "name: W\nversion: 1\ninput: {}\nsteps:\n- {id: a, transform: 1}\noutput: =steps.b.output";
    check(output, expect![[r#"w.yaml:6: output: steps.b in "steps.b.output" is not allowed; allowed: a"#]]);
}

#[test]
fn of_a_step() {
    check_steps(
        "- {id: a}",
        expect![[
            r#"w.yaml:5: step "a": says 0 things to do; allowed: exactly one of transform, validate, emit, registry_update, registry_read, http, notify, generate, wait, wait_for, call, approval, switch, parallel, for_each"#
        ]],
    );
    check_steps(
        "- {id: a, transform: 1, wait: 1s}",
        expect![[
            r#"w.yaml:5: step "a": says 2 things to do; allowed: exactly one of transform, validate, emit, registry_update, registry_read, http, notify, generate, wait, wait_for, call, approval, switch, parallel, for_each"#
        ]],
    );
    check_steps(
        "- {id: a, transfrom: 1}",
        expect![
            "w.yaml:5: unknown field `transfrom`, expected one of id, after, retry, timeout, compensate, transform, validate, emit, registry_update, registry_read, http, notify, generate, wait, wait_for, call, approval, switch, parallel, for_each at line 5, column 11"
        ],
    );
    check_steps(
        "- {id: a, registry_update: {registry: documents, entry: b, data: {}}}",
        expect![[
            r#"w.yaml:5: step "a": registry_update.registry: "documents" is kept by a handler, which alone writes to it"#
        ]],
    );
    check_steps(
        "- {id: a, notify: {title: b, severity: high}}",
        expect![[r#"w.yaml:5: step "a": notify.severity: "high" is not allowed; allowed: names of severities: info"#]],
    );
    check_steps(
        "- {id: a, http: {endpoint: scorre, data: 1}}",
        expect![[r#"w.yaml:5: step "a": http.endpoint: "scorre" is not allowed; allowed: names of endpoints: scorer"#]],
    );
    check_steps(
        "- {id: a, http: {endpoint: scorer, type: '', data: 1}}",
        expect![[
            r#"w.yaml:5: step "a": http.type: "" is not allowed; allowed: an event type of at most 200 bytes, such as part.scored"#
        ]],
    );
    check_steps(
        "- {id: a/b, transform: 1}",
        expect![[
            r#"w.yaml:5: step "a/b": id: "a/b" is not allowed; allowed: 1 to 100 letters, digits, "_" and "-", a letter first"#
        ]],
    );
    check_steps(
        "- {id: a, transform: 1}\n- {id: a, transform: 1}",
        expect![[r#"w.yaml:6: step "a": id: "a" is not allowed; allowed: an id that no other step of the file has"#]],
    );
    check_steps(
        "- {id: a, after: [b], transform: 1}",
        expect![[r#"w.yaml:5: step "a": after: "b" is not allowed; allowed: a"#]],
    );
    check_steps(
        "- {id: a, after: [b], transform: 1}\n- {id: b, after: [a], transform: 1}",
        expect![[r#"w.yaml:5: step "a": after: "a" comes after itself"#]],
    );
    check_steps(
        "- {id: a, transform: '=inputs.x'}",
        expect![[r#"w.yaml:5: step "a": transform: "inputs.x" names "inputs"; allowed: input, steps, run"#]],
    );
    check_steps(
        "- {id: a, transform: '=input.'}",
        expect![[
            r#"w.yaml:5: step "a": transform: "input." does not compile: line 1, column 7: Syntax error: no viable alternative at input '.'"#
        ]],
    );
    check_steps(
        "- {id: a, transform: =item}",
        expect![[r#"w.yaml:5: step "a": transform: "item" names "item"; allowed: input, steps, run"#]],
    );
    check_steps(
        "- {id: a, transform: 1}\n- {id: b, after: [], transform: =steps.a.output}",
        expect![[
            r#"w.yaml:6: step "b": transform: steps.a in "steps.a.output" is not allowed; allowed: none: it comes after no step"#
        ]],
    );
    check_steps(
        "- {id: a, wait: 1}",
        expect![[
            r#"w.yaml:5: step "a": wait: "1" is not allowed; allowed: a whole number with ms, s, m or h, such as 200ms, 5s or 10m"#
        ]],
    );
    check_steps(
        "- {id: a, transform: 1, timeout: 1h}",
        expect![[r#"w.yaml:5: step "a": timeout: 1h is not allowed; allowed: 1ms to 20s"#]],
    );
    check_steps(
        "- {id: a, wait: 1s, timeout: 1s}",
        expect![[r#"w.yaml:5: step "a": wait: retry and timeout are of steps that do something"#]],
    );
    check_steps(
        "- {id: a, transform: 1, retry: {attempts: 100}}",
        expect![[r#"w.yaml:5: step "a": retry.attempts: 100 is not allowed; allowed: a whole number from 1 to 20"#]],
    );
    check_steps(
        "- {id: a, transform: 1, retry: {attempts: 2, backoff: {initial: 5s, cap: 1s}}}",
        expect![[r#"w.yaml:5: step "a": retry.backoff.cap: 1s is not allowed; allowed: at least the initial 5s"#]],
    );
    check_steps(
        "- {id: a, emit: {topic: coafi.git, type: a.b, data: {}}}",
        expect![[
            r#"w.yaml:5: step "a": emit.topic: "coafi.git" is not allowed; allowed: declared topics: coafi.bitt, coafi.notifications"#
        ]],
    );
    check_steps(
        "- {id: a, emit: {topic: coafi.bitt, type: e.f, data: {}}}",
        expect![[
            r#"w.yaml:5: step "a": emit.type: "e.f" is not allowed; allowed: types whose schemas coafi.bitt declares: a.b, c.d"#
        ]],
    );
    check_steps(
        "- {id: a, emit: {topic: coafi.bitt, type: a.b}}",
        expect!["w.yaml:5: missing field `data` at line 5, column 37"],
    );
    check_steps(
        "- {id: a, validate: {value: 1, schema: {type: thing}}}",
        expect![[
            r#"w.yaml:5: step "a": validate.schema: is no JSON Schema: "thing" is not valid under any of the schemas listed in the 'anyOf' keyword"#
        ]],
    );
    check_steps(
        "- {id: a, switch: {cases: []}}",
        expect![[r#"w.yaml:5: step "a": switch.cases: a list of 0 is not allowed; allowed: 1 to 20"#]],
    );
    check_steps(
        "- {id: a, generate: {name: n, format: pdf, template: ''}}",
        expect!["w.yaml:5: unknown variant `pdf`, expected one of html, markdown, text, json at line 5, column 39"],
    );
    check_steps(
        "- {id: a, parallel: []}",
        expect![[r#"w.yaml:5: step "a": parallel: has no step; allowed: at least one"#]],
    );
    check_steps(
        "- {id: a, parallel: [{id: b, transform: 1}], timeout: 1s}",
        expect![[r#"w.yaml:5: step "a": parallel: steps within have retry and timeout of their own"#]],
    );
    check_steps(
        "- {id: a, for_each: {items: input, max: 1000, steps: [{id: b, transform: 1}]}}",
        expect![[r#"w.yaml:5: step "a": for_each.max: 1000 is not allowed; allowed: a whole number from 1 to 100"#]],
    );
    check_steps(
        "- id: a\n  parallel:\n    - {id: b, transform: 1}\n    - {id: c, transform: =steps.b.output}",
        expect![[
            r#"w.yaml:8: step "c": transform: steps.b in "steps.b.output" is not allowed; allowed: none: it comes after no step"#
        ]],
    );
}

#[test]
fn of_steps_that_wait_and_of_what_undoes_them() {
    check_steps(
        "- {id: a, wait_for: {type: x, correlate: data.k, equals: 1}}",
        expect!["w.yaml:5: missing field `within` at line 5, column 50"],
    );
    check_steps(
        "- {id: a, wait_for: {type: x, correlate: input.k, equals: 1, within: 1h}}",
        expect![[r#"w.yaml:5: step "a": wait_for.correlate: "input.k" names "input"; allowed: event, data"#]],
    );
    check_steps(
        "- {id: a, wait_for: {type: ' ', correlate: data.k, equals: 1, within: 1h}}",
        expect![[
            r#"w.yaml:5: step "a": wait_for.type: " " is not allowed; allowed: an event type of at most 200 bytes, such as git.push"#
        ]],
    );
    check_steps(
        "- {id: a, call: {workflow: B, input: {}}, retry: {attempts: 2}}",
        expect![[r#"w.yaml:5: step "a": call: retry and timeout are of steps that do something"#]],
    );
    check_steps(
        "- {id: a, transform: 1, compensate: {}}",
        expect![[r#"w.yaml:5: step "a": compensate: allowed: exactly one of emit, registry_update, http, notify"#]],
    );
    check_steps(
        "- {id: a, parallel: [{id: b, transform: 1}], compensate: {emit: {topic: coafi.bitt, type: a.b, data: {}}}}",
        expect![[r#"w.yaml:5: step "a": parallel: steps within have a compensate of their own"#]],
    );
    check_steps(
        "- {id: a, transform: 1, compensate: {emit: {topic: coafi.bitt, type: a.b, data: =steps.b.output}}}",
        expect![[r#"w.yaml:5: step "a": compensate: steps.b in "steps.b.output" is not allowed; allowed: a"#]],
    );
}

#[test]
fn of_a_template() {
    let check = |template: &str, expected: Expect| {
        let steps = [
            "- {id: before, transform: 1}",
            "- id: a",
            "  after: []",
            "  generate:",
            "    name: n",
            "    format: text",
            "    template: |",
            &format!("      {}", template.replace('\n', "\n      ")),
        ];
        check_steps(&steps.join("\n"), expected);
    };
    check(
        "one\n{{ two",
        expect![[
            r#"w.yaml:6: step "a": generate.template: line 2: syntax error: unexpected end of input, expected end of variable block"#
        ]],
    );
    check(
        "{% include 'other' %}",
        expect![[r#"w.yaml:6: step "a": generate.template: line 1: syntax error: unknown statement include"#]],
    );
    check(
        "{{ inptu.name }}",
        expect![[r#"w.yaml:6: step "a": generate.template: names "inptu"; allowed: input, steps, run"#]],
    );
    check(
        "{{ item }}",
        expect![[r#"w.yaml:6: step "a": generate.template: names "item"; allowed: input, steps, run"#]],
    );
    check(
        "{% for n in range(3) %}{{ steps.before.output }}{% endfor %}",
        expect![[
            r#"w.yaml:6: step "a": generate.template: steps.before is not allowed; allowed: none: it comes after no step"#
        ]],
    );
}

#[test]
fn of_dependencies() {
    let check = |names: &str, expected: Expect| {
        let steps = "[{id: a, transform: 1}]";
        check(&format!("name: W\nversion: 1\ninput: {{}}\ndependencies:\n{names}\nsteps: {steps}"), expected);
    };
    check(
        "- artifacts\n- databse",
        expect![[
            r#"w.yaml:6: dependencies: "databse" is not allowed; allowed: database, schema-registry, artifacts, http:ENDPOINT, notify:CHANNEL"#
        ]],
    );
    check(
        "- http:scorre",
        expect![[r#"w.yaml:5: dependencies: "scorre" is not allowed; allowed: names of endpoints: scorer"#]],
    );
    check(
        "- notify:pager",
        expect![[r#"w.yaml:5: dependencies: "pager" is not allowed; allowed: names of channels: ops"#]],
    );
    check_steps(
        "- {id: a, notify: {title: t, channels: [ops, pager]}}",
        expect![[r#"w.yaml:5: step "a": notify.channels: "pager" is not allowed; allowed: names of channels: ops"#]],
    );
}

#[test]
fn what_steps_show_need_not_be_declared() {
    let text = "name: W
version: 1
input: {}
dependencies: [notify:ops]
steps:
  - id: both
    parallel:
      - {id: ask, http: {endpoint: scorer, data: 1}}
      - {id: tell, notify: {title: t, channels: [chat, =input.channel]}}
      - {id: page, generate: {name: n, format: text, template: ''}}
";
    let needed = Definition::parse("w.yaml", text, None).unwrap().dependencies;
    let expected = ["artifacts", "database", "http:scorer", "notify:chat", "notify:ops", "schema-registry"];
    assert_eq!(needed.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
