//! A definition, or how far a run of it is, as a Mermaid flowchart.

use std::fmt::Write as _;

use super::{Block, Definition, Kind, Path, Run, Step, StepStatus};

/// The text of the drawing. Of a run, steps have the colour of where they stand; a step of a `for_each` that of its worst round.
#[must_use]
pub fn mermaid(definition: &Definition, run: Option<&Run>) -> String {
    let mut drawing = format!("---\ntitle: {} {}\n---\nflowchart TD\n", definition.name, definition.version);
    draw(&mut drawing, &definition.steps, 1);
    if let Some(run) = run {
        for (class, colour) in [("succeeded", "#cfc"), ("running", "#ffc"), ("failed", "#fcc"), ("cancelled", "#ddd")] {
            line(&mut drawing, 1, &format!("classDef {class} fill:{colour}"));
        }
        for step in definition.steps.all() {
            if let Some(status) = worst(run, &step.id) {
                line(&mut drawing, 1, &format!("class {} {}", node(&step.id), status.name()));
            }
        }
    }
    drawing
}

fn draw(drawing: &mut String, block: &Block, depth: usize) {
    for step in &block.steps {
        match &step.kind {
            Kind::Switch(switch) => {
                container(drawing, step, depth, |drawing| {
                    for case in &switch.cases {
                        let label = format!("when {}", case.when.text());
                        within(drawing, &case.steps, &label, depth);
                    }
                    if let Some(otherwise) = &switch.otherwise {
                        within(drawing, otherwise, "otherwise", depth);
                    }
                });
            }
            Kind::Parallel(steps) => container(drawing, step, depth, |drawing| draw(drawing, steps, depth + 1)),
            Kind::ForEach(each) => container(drawing, step, depth, |drawing| draw(drawing, &each.steps, depth + 1)),
            kind => line(drawing, depth, &format!("{}[\"{}: {}\"]", node(&step.id), step.id, kind.name())),
        }
    }
    for step in &block.steps {
        for earlier in &step.after {
            line(drawing, depth, &format!("{} --> {}", node(earlier), node(&step.id)));
        }
    }
}

fn container(drawing: &mut String, step: &Step, depth: usize, inside: impl FnOnce(&mut String)) {
    line(drawing, depth, &format!("subgraph {}[\"{}: {}\"]", node(&step.id), step.id, step.kind.name()));
    inside(drawing);
    line(drawing, depth, "end");
}

/// A case: a box of its own, named by its first step.
fn within(drawing: &mut String, block: &Block, label: &str, depth: usize) {
    let first = block.steps.first().map_or("", |step| step.id.as_str());
    line(drawing, depth + 1, &format!("subgraph {}_case[\"{}\"]", node(first), escaped(label)));
    draw(drawing, block, depth + 2);
    line(drawing, depth + 1, "end");
}

fn line(drawing: &mut String, depth: usize, text: &str) {
    writeln!(drawing, "{}{text}", "  ".repeat(depth)).expect("a String takes all");
}

/// An id that is no word of Mermaid's.
fn node(id: &str) -> String {
    format!("s_{}", id.replace('-', "_"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;").replace('\n', " ")
}

fn worst(run: &Run, id: &str) -> Option<StepStatus> {
    let rank = |status: &StepStatus| match status {
        StepStatus::Succeeded => 0,
        StepStatus::Cancelled => 1,
        StepStatus::Running => 2,
        StepStatus::Failed => 3,
    };
    let of_step = run.steps.iter().filter(|(path, _)| Path::id(path) == id && !path.is_undo());
    of_step.map(|(_, state)| state.status).max_by_key(rank)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::workflow::start;

    #[test]
    fn a_run_is_drawn() {
        let text = "name: W
version: 1
input: {}
steps:
  - {id: first-one, transform: 1}
  - {id: pick, switch: {cases: [{when: input.n > 1, steps: [{id: a, wait: 1s}]}], otherwise: [{id: b, transform: 2}]}}
  - {id: each, for_each: {items: input.list, steps: [{id: c, transform: 1}, {id: d, transform: 2}]}}
";
        let definition = Definition::parse("w.yaml", text, None).unwrap();
        let run = start(&definition, "wf", json!({})).run;
        expect![[r#"
            ---
            title: W 1
            ---
            flowchart TD
              s_first_one["first-one: transform"]
              subgraph s_pick["pick: switch"]
                subgraph s_a_case["when input.n &gt; 1"]
                  s_a["a: wait"]
                end
                subgraph s_b_case["otherwise"]
                  s_b["b: transform"]
                end
              end
              subgraph s_each["each: for_each"]
                s_c["c: transform"]
                s_d["d: transform"]
                s_c --> s_d
              end
              s_first_one --> s_pick
              s_pick --> s_each
              classDef succeeded fill:#cfc
              classDef running fill:#ffc
              classDef failed fill:#fcc
              classDef cancelled fill:#ddd
              class s_first_one running
        "#]]
        .assert_eq(&mermaid(&definition, Some(&run)));
    }
}
