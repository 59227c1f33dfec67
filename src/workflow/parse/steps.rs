//! The steps of a definition.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_saphyr::Spanned;

use super::{At, Known, check_name, dependencies, expression, line_of, sees, sees_step, template};
use crate::dispatch::delay;
use crate::schema::Shape;
use crate::workflow::definition::{
    Approval, Call, Case, Emit, ForEach, Http, Kind, RegistryRead, RegistryUpdate, Retry, Step, Switch, Validate,
    WaitFor,
};
use crate::workflow::notify::Notify;
use crate::workflow::scope::{DATA, EVENT, INDEX, INPUT, ITEM, RUN, STEPS};
use crate::workflow::{Block, DefinitionError, Generate, Template, raw};

/// Steps of a definition, those within others included.
const STEPS_MAX: usize = 200;
/// Containers within each other.
const DEPTH_MAX: usize = 5;
/// Rounds of one `for_each`.
const ROUNDS_MAX: usize = 100;
const CASES_MAX: usize = 20;
const ATTEMPTS_MAX: u32 = 20;
const BACKOFF_INITIAL: Duration = Duration::from_secs(1);
const BACKOFF_CAP: Duration = Duration::from_secs(60);
const BACKOFF_RANGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3_600);
/// The route's deadline is above.
const TIMEOUT_RANGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(20);
const WAIT_RANGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30 * 24 * 3_600);
const KINDS: &str = "transform, validate, emit, registry_update, registry_read, http, notify, generate, wait, wait_for, call, approval, switch, parallel, for_each";
/// Of what a step of kind `http` posts, where it does not say so.
const HTTP_TYPE: &str = "workflow.http";
/// Of a `wait_for`: both are in an index.
const CORRELATE_BYTES_MAX: usize = 500;
const EVENT_TYPE_BYTES_MAX: usize = 200;

/// Reads steps, each id once.
pub(super) struct Steps<'a> {
    file: &'a str,
    known: Option<&'a Known>,
    ids: BTreeSet<String>,
}

/// What a block is in.
#[derive(Clone, Copy)]
struct Around<'a> {
    /// Outputs that every step of the block sees.
    visible: &'a BTreeSet<&'a str>,
    /// Whether there is an item.
    in_round: bool,
    depth: usize,
    /// Whether a step that says nothing comes after the one before it.
    in_order: bool,
}

impl<'a> Steps<'a> {
    pub(super) const fn new(file: &'a str, known: Option<&'a Known>) -> Self {
        Self { file, known, ids: BTreeSet::new() }
    }

    pub(super) fn outermost(mut self, raw: &[Spanned<raw::Step>]) -> Result<Block, DefinitionError> {
        let at = At { file: self.file, line: 1, step: None };
        let nothing = BTreeSet::new();
        self.block(at, "steps", raw, Around { visible: &nothing, in_round: false, depth: 0, in_order: true })
    }

    fn block(
        &mut self,
        at: At<'_>,
        key: &str,
        raw: &[Spanned<raw::Step>],
        around: Around<'_>,
    ) -> Result<Block, DefinitionError> {
        if raw.is_empty() {
            return Err(at.error(format!("{key}: has no step; allowed: at least one")));
        }
        if around.depth > DEPTH_MAX {
            return Err(at.error(format!("{key}: is {} containers deep; allowed: at most {DEPTH_MAX}", around.depth)));
        }
        for raw in raw {
            let at = At { file: self.file, line: line_of(raw), step: Some(&raw.value.id) };
            check_name(at, "id", &raw.value.id)?;
            if !self.ids.insert(raw.value.id.clone()) {
                return Err(at.refuse("id", format!("{:?}", raw.value.id), "an id that no other step of the file has"));
            }
            if self.ids.len() > STEPS_MAX {
                return Err(at.error(format!("the file has more than {STEPS_MAX} steps; allowed: at most that")));
            }
        }
        let afters = self.afters(raw, around.in_order)?;
        // What a step sees follows from the order, and what is in it from what it sees.
        let order =
            Block { steps: raw.iter().zip(&afters).map(|(raw, after)| placeholder(&raw.value.id, after)).collect() };
        if let Some(step) = order.circular() {
            let line = raw.iter().find(|raw| raw.value.id == step.id).map_or(at.line, line_of);
            let at = At { file: self.file, line, step: Some(&step.id) };
            return Err(at.error(format!("after: {:?} comes after itself", step.id)));
        }
        let mut steps = Vec::with_capacity(raw.len());
        for (raw, after) in raw.iter().zip(afters) {
            let visible: BTreeSet<&str> = around.visible.iter().copied().chain(order.before(&raw.value.id)).collect();
            steps.push(self.step(raw, after, Around { visible: &visible, ..around })?);
        }
        Ok(Block { steps })
    }

    /// What each step comes after.
    fn afters(&self, raw: &[Spanned<raw::Step>], in_order: bool) -> Result<Vec<Vec<String>>, DefinitionError> {
        let siblings: Vec<&str> = raw.iter().map(|raw| raw.value.id.as_str()).collect();
        let mut afters = Vec::with_capacity(raw.len());
        for (index, raw) in raw.iter().enumerate() {
            let after = match &raw.value.after {
                Some(after) => after.clone(),
                None if in_order && index > 0 => vec![siblings[index - 1].to_owned()],
                None => Vec::new(),
            };
            if let Some(stranger) = after.iter().find(|id| !siblings.contains(&id.as_str())) {
                let at = At { file: self.file, line: line_of(raw), step: Some(&raw.value.id) };
                return Err(at.refuse("after", format!("{stranger:?}"), siblings.join(", ")));
            }
            afters.push(after);
        }
        Ok(afters)
    }

    fn step(
        &mut self,
        raw: &Spanned<raw::Step>,
        after: Vec<String>,
        around: Around<'_>,
    ) -> Result<Step, DefinitionError> {
        let (line, raw) = (line_of(raw), &raw.value);
        let at = At { file: self.file, line, step: Some(&raw.id) };
        let kind = self.kind(at, raw, around)?;
        sees(at, kind.name(), kind.expressions(), around.visible)?;
        let (retry, timeout) = effort(at, raw)?;
        if timeout.is_some() || retry.attempts > 1 {
            if !kind.blocks().is_empty() {
                return Err(at.error(format!("{}: steps within have retry and timeout of their own", kind.name())));
            }
            if matches!(kind, Kind::Wait(_) | Kind::WaitFor(_) | Kind::Call(_) | Kind::Approval(_)) {
                return Err(at.error(format!("{}: retry and timeout are of steps that do something", kind.name())));
            }
        }
        let compensate = raw.compensate.as_ref().map(|undo| self.compensation(at, &raw.id, &kind, undo, around));
        let compensate = compensate.transpose()?.map(Box::new);
        Ok(Step { id: raw.id.clone(), after, retry, timeout, kind, compensate })
    }

    /// What undoes a step: it sees what the step sees, and what the step gave.
    fn compensation(
        &mut self,
        at: At<'_>,
        id: &str,
        of: &Kind,
        raw: &raw::Compensate,
        around: Around<'_>,
    ) -> Result<Step, DefinitionError> {
        if !of.blocks().is_empty() {
            return Err(at.error(format!("{}: steps within have a compensate of their own", of.name())));
        }
        let raw = raw.clone();
        let given = [raw.emit.is_some(), raw.registry_update.is_some(), raw.http.is_some(), raw.notify.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            return Err(at.error("compensate: allowed: exactly one of emit, registry_update, http, notify"));
        }
        let raw = raw::Step {
            id: id.to_owned(),
            retry: raw.retry,
            timeout: raw.timeout,
            emit: raw.emit,
            registry_update: raw.registry_update,
            http: raw.http,
            notify: raw.notify,
            ..raw::Step::default()
        };
        let visible: BTreeSet<&str> = around.visible.iter().copied().chain([id]).collect();
        let kind = self.kind(at, &raw, around)?;
        sees(at, "compensate", kind.expressions(), &visible)?;
        let (retry, timeout) = effort(at, &raw)?;
        Ok(Step { id: raw.id, after: Vec::new(), retry, timeout, kind, compensate: None })
    }

    fn kind(&mut self, at: At<'_>, raw: &raw::Step, around: Around<'_>) -> Result<Kind, DefinitionError> {
        let mut variables = vec![INPUT, STEPS, RUN];
        if around.in_round {
            variables.extend([ITEM, INDEX]);
        }
        let fill = |key: &str, value: &Value| template(at, key, value, &variables);
        let given = [
            raw.transform.is_some(),
            raw.validate.is_some(),
            raw.emit.is_some(),
            raw.registry_update.is_some(),
            raw.registry_read.is_some(),
            raw.http.is_some(),
            raw.notify.is_some(),
            raw.generate.is_some(),
            raw.wait.is_some(),
            raw.wait_for.is_some(),
            raw.call.is_some(),
            raw.approval.is_some(),
            raw.switch.is_some(),
            raw.parallel.is_some(),
            raw.for_each.is_some(),
        ];
        let given = given.into_iter().filter(|given| *given).count();
        if given != 1 {
            return Err(at.error(format!("says {given} things to do; allowed: exactly one of {KINDS}")));
        }
        let within = Around { depth: around.depth + 1, in_order: true, ..around };
        Ok(if let Some(value) = &raw.transform {
            Kind::Transform(fill("transform", value)?)
        } else if let Some(raw) = &raw.validate {
            let schema = Shape::compile(&raw.schema)
                .map_err(|message| at.error(format!("validate.schema: is no JSON Schema: {message}")))?;
            Kind::Validate(Validate { value: fill("validate.value", &raw.value)?, schema: Arc::new(schema) })
        } else if let Some(raw) = &raw.emit {
            Kind::Emit(self.emit(at, raw, &fill)?)
        } else if let Some(raw) = &raw.registry_update {
            let registry = fill("registry_update.registry", &raw.registry)?;
            if let Template::Literal(Value::String(name)) = &registry
                && self.known.is_some_and(|known| known.kept.contains(name))
            {
                let why = format!("registry_update.registry: {name:?} is kept by a handler, which alone writes to it");
                return Err(at.error(why));
            }
            Kind::RegistryUpdate(RegistryUpdate {
                registry,
                entry: fill("registry_update.entry", &raw.entry)?,
                data: fill("registry_update.data", &raw.data)?,
                expected_version: raw
                    .expected_version
                    .as_ref()
                    .map(|value| fill("registry_update.expected_version", value))
                    .transpose()?,
            })
        } else if let Some(raw) = &raw.registry_read {
            Kind::RegistryRead(RegistryRead {
                registry: fill("registry_read.registry", &raw.registry)?,
                entry: fill("registry_read.entry", &raw.entry)?,
            })
        } else if let Some(raw) = &raw.http {
            Kind::Http(self.http(at, raw, &fill)?)
        } else if let Some(raw) = &raw.notify {
            if self.known.is_some_and(|known| !known.topics.contains_key(Notify::TOPIC)) {
                return Err(at.error(format!("notify: the topic {} is not declared; see topics_dir", Notify::TOPIC)));
            }
            let notify = Notify::parse(raw, &fill)?;
            if let Some(severity) = notify.severity() {
                dependencies::is_severity(at, "notify.severity", severity, self.known)?;
            }
            for channel in notify.channels() {
                dependencies::is_channel(at, "notify.channels", channel, self.known)?;
            }
            Kind::Notify(notify)
        } else if let Some(raw) = &raw.generate {
            let name = fill("generate.name", &raw.name)?;
            let generate = Generate::parse(name, raw.format, &raw.template, &variables);
            let generate = generate.map_err(|message| at.error(format!("generate.template: {message}")))?;
            for id in generate.steps() {
                sees_step(at, "generate.template", id, "", around.visible)?;
            }
            Kind::Generate(generate)
        } else if let Some(text) = &raw.wait {
            Kind::Wait(duration(at, "wait", text, WAIT_RANGE)?)
        } else if let Some(raw) = &raw.wait_for {
            Kind::WaitFor(wait_for(at, raw, &fill)?)
        } else if let Some(raw) = &raw.call {
            let within = raw.within.as_deref().map(|text| duration(at, "call.within", text, WAIT_RANGE)).transpose()?;
            check_name(at, "call.workflow", &raw.workflow)?;
            let (workflow, line) = (raw.workflow.clone(), at.line);
            Kind::Call(Call { workflow, input: fill("call.input", &raw.input)?, within, line })
        } else if let Some(raw) = &raw.approval {
            let within = raw.within.as_deref().map(|text| duration(at, "approval.within", text, WAIT_RANGE));
            Kind::Approval(Approval { message: fill("approval.message", &raw.message)?, within: within.transpose()? })
        } else if let Some(raw) = &raw.switch {
            Kind::Switch(self.switch(at, raw, &variables, within)?)
        } else if let Some(raw) = &raw.parallel {
            Kind::Parallel(self.block(at, "parallel", raw, Around { in_order: false, ..within })?)
        } else if let Some(raw) = &raw.for_each {
            Kind::ForEach(self.for_each(at, raw, &variables, within)?)
        } else {
            unreachable!("one was counted")
        })
    }

    fn emit(
        &self,
        at: At<'_>,
        raw: &raw::Emit,
        fill: &impl Fn(&str, &Value) -> Result<Template, DefinitionError>,
    ) -> Result<Emit, DefinitionError> {
        if let Some(known) = self.known {
            let Some(types) = known.topics.get(&raw.topic) else {
                let all = known.topics.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(at.refuse("emit.topic", format!("{:?}", raw.topic), format!("declared topics: {all}")));
            };
            if !types.contains(&raw.event_type) {
                let all = types.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                let allowed = format!("types whose schemas {} declares: {all}", raw.topic);
                return Err(at.refuse("emit.type", format!("{:?}", raw.event_type), allowed));
            }
        }
        Ok(Emit {
            topic: raw.topic.clone(),
            event_type: raw.event_type.clone(),
            subject: raw.subject.as_ref().map(|value| fill("emit.subject", value)).transpose()?,
            key: raw.key.as_ref().map(|value| fill("emit.key", value)).transpose()?,
            data: fill("emit.data", &raw.data)?,
        })
    }

    fn http(
        &self,
        at: At<'_>,
        raw: &raw::Http,
        fill: &impl Fn(&str, &Value) -> Result<Template, DefinitionError>,
    ) -> Result<Http, DefinitionError> {
        dependencies::is_endpoint(at, "http.endpoint", &raw.endpoint, self.known)?;
        let event_type = raw.event_type.as_deref().unwrap_or(HTTP_TYPE).trim();
        if event_type.is_empty() || event_type.len() > EVENT_TYPE_BYTES_MAX {
            let allowed = format!("an event type of at most {EVENT_TYPE_BYTES_MAX} bytes, such as part.scored");
            return Err(at.refuse("http.type", format!("{event_type:?}"), allowed));
        }
        let (endpoint, event_type) = (raw.endpoint.clone(), event_type.to_owned());
        Ok(Http { endpoint, event_type, data: fill("http.data", &raw.data)? })
    }

    fn switch(
        &mut self,
        at: At<'_>,
        raw: &raw::Switch,
        variables: &[&str],
        within: Around<'_>,
    ) -> Result<Switch, DefinitionError> {
        if raw.cases.is_empty() || raw.cases.len() > CASES_MAX {
            let allowed = format!("1 to {CASES_MAX}");
            return Err(at.refuse("switch.cases", format!("a list of {}", raw.cases.len()), allowed));
        }
        let mut cases = Vec::with_capacity(raw.cases.len());
        for case in &raw.cases {
            let when = expression(at, "switch.cases.when", &case.when, variables)?;
            cases.push(Case { when, steps: self.block(at, "switch.cases.steps", &case.steps, within)? });
        }
        let otherwise = raw.otherwise.as_ref().map(|steps| self.block(at, "switch.otherwise", steps, within));
        Ok(Switch { cases, otherwise: otherwise.transpose()? })
    }

    fn for_each(
        &mut self,
        at: At<'_>,
        raw: &raw::ForEach,
        variables: &[&str],
        within: Around<'_>,
    ) -> Result<ForEach, DefinitionError> {
        let max = raw.max.unwrap_or(ROUNDS_MAX);
        if !(1..=ROUNDS_MAX).contains(&max) {
            return Err(at.refuse("for_each.max", max, format!("a whole number from 1 to {ROUNDS_MAX}")));
        }
        Ok(ForEach {
            items: expression(at, "for_each.items", &raw.items, variables)?,
            max,
            steps: self.block(at, "for_each.steps", &raw.steps, Around { in_round: true, ..within })?,
        })
    }
}

fn wait_for(
    at: At<'_>,
    raw: &raw::WaitFor,
    fill: &impl Fn(&str, &Value) -> Result<Template, DefinitionError>,
) -> Result<WaitFor, DefinitionError> {
    let event_type = raw.event_type.trim();
    if event_type.is_empty() || event_type.len() > EVENT_TYPE_BYTES_MAX {
        let allowed = format!("an event type of at most {EVENT_TYPE_BYTES_MAX} bytes, such as git.push");
        return Err(at.refuse("wait_for.type", format!("{:?}", raw.event_type), allowed));
    }
    if raw.correlate.len() > CORRELATE_BYTES_MAX {
        let allowed = format!("at most {CORRELATE_BYTES_MAX}");
        return Err(at.refuse("wait_for.correlate", format!("a text of {} bytes", raw.correlate.len()), allowed));
    }
    Ok(WaitFor {
        event_type: event_type.to_owned(),
        correlate: expression(at, "wait_for.correlate", &raw.correlate, &[EVENT, DATA])?,
        equals: fill("wait_for.equals", &raw.equals)?,
        within: duration(at, "wait_for.within", &raw.within, WAIT_RANGE)?,
    })
}

/// Stands for a step while only the order matters.
fn placeholder(id: &str, after: &[String]) -> Step {
    let retry = Retry { attempts: 1, initial: Duration::ZERO, cap: Duration::ZERO };
    let kind = Kind::Wait(Duration::ZERO);
    Step { id: id.to_owned(), after: after.to_vec(), retry, timeout: None, kind, compensate: None }
}

/// How often a step is tried, and how long one attempt may take.
fn effort(at: At<'_>, raw: &raw::Step) -> Result<(Retry, Option<Duration>), DefinitionError> {
    let timeout = raw.timeout.as_deref().map(|text| duration(at, "timeout", text, TIMEOUT_RANGE)).transpose()?;
    Ok((retry(at, &raw.retry)?, timeout))
}

fn retry(at: At<'_>, raw: &raw::Retry) -> Result<Retry, DefinitionError> {
    let attempts = raw.attempts.unwrap_or(1);
    if !(1..=ATTEMPTS_MAX).contains(&attempts) {
        return Err(at.refuse("retry.attempts", attempts, format!("a whole number from 1 to {ATTEMPTS_MAX}")));
    }
    let read = |key: &str, text: &Option<String>, default: Duration| match text {
        Some(text) => duration(at, key, text, BACKOFF_RANGE),
        None => Ok(default),
    };
    let initial = read("retry.backoff.initial", &raw.backoff.initial, BACKOFF_INITIAL)?;
    let cap = read("retry.backoff.cap", &raw.backoff.cap, BACKOFF_CAP.max(initial))?;
    if cap < initial {
        let allowed = format!("at least the initial {}", delay::format(initial));
        return Err(at.refuse("retry.backoff.cap", delay::format(cap), allowed));
    }
    Ok(Retry { attempts, initial, cap })
}

fn duration(at: At<'_>, key: &str, text: &str, range: RangeInclusive<Duration>) -> Result<Duration, DefinitionError> {
    let parsed = delay::parse(text).map_err(|allowed| at.refuse(key, format!("{text:?}"), allowed))?;
    if range.contains(&parsed) {
        return Ok(parsed);
    }
    let allowed = format!("{} to {}", delay::format(*range.start()), delay::format(*range.end()));
    Err(at.refuse(key, text, allowed))
}
