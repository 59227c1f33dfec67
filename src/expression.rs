//! Expressions that people write in COAFI's files: Common Expression Language over named variables.
//!
//! What an expression may name is checked when it is compiled. It is a function of its variables: no clock, no I/O.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr};
use cel::{Context, Env, ExecutionError, IdedExpr, Program, Value};

/// Bytes of a text that `json` reads.
const JSON_BYTES_MAX: usize = 1 << 20;

/// A compiled expression.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    text: String,
    program: Program,
    env: Arc<Env>,
    names: BTreeSet<String>,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    #[error("{text:?} does not compile: line {line}, column {column}: {message}")]
    Syntax { text: String, line: isize, column: isize, message: String },
    #[error("{text:?} names {name:?}; allowed: {allowed}")]
    Variable { text: String, name: String, allowed: String },
    #[error("{text:?} calls {name:?}, which is no function here; allowed: those of CEL, and {JSON}")]
    Function { text: String, name: String },
    #[error("{text:?} cannot be evaluated: {message}")]
    Evaluation { text: String, message: String },
    #[error("{text:?} gives {value}; allowed: true, false")]
    NotBool { text: String, value: String },
}

impl Expression {
    /// # Errors
    /// [`ExpressionError::Syntax`] with the position, [`ExpressionError::Variable`] for a name that is not `allowed`,
    /// [`ExpressionError::Function`].
    pub fn compile(text: &str, allowed: &[&str]) -> Result<Self, ExpressionError> {
        let env = Arc::new(Env::stdlib());
        let program = env.compile(text).map_err(|errors| {
            let first = errors.errors.first();
            ExpressionError::Syntax {
                text: text.to_owned(),
                line: first.map_or(0, |e| e.pos.0),
                column: first.map_or(0, |e| e.pos.1),
                message: first.map_or_else(|| errors.to_string(), |e| e.msg.clone()),
            }
        })?;
        let mut found = Found::default();
        found.walk(program.expression());
        let names: BTreeSet<String> = found.names.iter().map(|name| (*name).to_owned()).collect();
        if let Some(name) = names.iter().find(|name| !allowed.contains(&name.as_str())) {
            let (text, name, allowed) = (text.to_owned(), name.clone(), allowed.join(", "));
            return Err(ExpressionError::Variable { text, name, allowed });
        }
        if let Some(name) = found.functions.iter().find(|name| **name != JSON && !is_function(&env, name)) {
            return Err(ExpressionError::Function { text: text.to_owned(), name: (*name).to_owned() });
        }
        Ok(Self(Arc::new(Compiled { text: text.to_owned(), program, env, names })))
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether it reads this variable.
    #[must_use]
    pub fn names(&self, variable: &str) -> bool {
        self.0.names.contains(variable)
    }

    /// The members of a variable that it reads by name: `a` in `steps.a.output`.
    #[must_use]
    pub fn members_of(&self, variable: &str) -> BTreeSet<&str> {
        let mut found = Found::default();
        found.walk(self.0.program.expression());
        found.members.into_iter().filter(|(of, _)| *of == variable).map(|(_, member)| member).collect()
    }

    /// # Errors
    /// [`ExpressionError::Evaluation`]
    pub fn evaluate<'a>(
        &self,
        variables: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Result<Value, ExpressionError> {
        let mut context = Context::with_env(Arc::clone(&self.0.env));
        context.add_function(JSON, json).map_err(|error| self.failed(error))?;
        for (name, value) in variables {
            context.add_variable_from_value(name, value);
        }
        self.0.program.execute(&context).map_err(|error| self.failed(error))
    }

    /// # Errors
    /// As [`Expression::evaluate`], and [`ExpressionError::NotBool`].
    pub fn decide<'a>(&self, variables: impl IntoIterator<Item = (&'a str, Value)>) -> Result<bool, ExpressionError> {
        match self.evaluate(variables)? {
            Value::Bool(decided) => Ok(decided),
            other => Err(ExpressionError::NotBool { text: self.0.text.clone(), value: format!("{other:?}") }),
        }
    }

    /// That a variable cannot be made, or a result not be used.
    pub(crate) fn failed(&self, error: impl fmt::Display) -> ExpressionError {
        ExpressionError::Evaluation { text: self.0.text.clone(), message: error.to_string() }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.0.text)
    }
}

/// A JSON value as expressions see it. Whole numbers are signed: CEL has no arithmetic between signed and unsigned ones, and
/// what people write in an expression is signed.
#[must_use]
pub fn value_of(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => Value::Int(signed),
            (None, Some(unsigned)) => Value::UInt(unsigned),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(value_of).collect::<Vec<_>>().into()),
        serde_json::Value::Object(members) => {
            let members: HashMap<&str, Value> =
                members.iter().map(|(key, json)| (key.as_str(), value_of(json))).collect();
            Value::Map(members.into())
        }
    }
}

/// The function by which expressions look into a text that is JSON, as payloads have them.
const JSON: &str = "json";

fn json(text: Arc<String>) -> Result<Value, ExecutionError> {
    if text.len() > JSON_BYTES_MAX {
        let message = format!("the text has {} bytes; allowed: {JSON_BYTES_MAX}", text.len());
        return Err(ExecutionError::function_error(JSON, message));
    }
    // Nesting is bounded by the reader: 128.
    let read = serde_json::from_str(&text);
    read.map(|json| value_of(&json)).map_err(|error| ExecutionError::function_error(JSON, error))
}

/// Two are equal if they read the same: their results are.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

/// What an expression needs from outside: the names that its macros (`exists`, `all`, `map`, …) bind are not among them.
#[derive(Default)]
struct Found<'a> {
    names: BTreeSet<&'a str>,
    members: BTreeSet<(&'a str, &'a str)>,
    /// Operators are none.
    functions: BTreeSet<&'a str>,
    bound: Vec<&'a str>,
}

impl<'a> Found<'a> {
    fn walk(&mut self, expression: &'a IdedExpr) {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => {
                if !self.bound.contains(&name.as_str()) {
                    self.names.insert(name);
                }
            }
            Expr::Select(select) => {
                if let Expr::Ident(of) = &select.operand.expr
                    && !self.bound.contains(&of.as_str())
                {
                    self.members.insert((of, &select.field));
                }
                self.walk(&select.operand);
            }
            Expr::Call(call) => {
                if call.func_name.starts_with(|first: char| first.is_ascii_alphabetic()) {
                    self.functions.insert(&call.func_name);
                }
                call.target.iter().map(|target| &**target).chain(&call.args).for_each(|e| self.walk(e));
            }
            Expr::List(list) => list.elements.iter().for_each(|e| self.walk(e)),
            Expr::Map(map) => self.entries(&map.entries),
            Expr::Struct(fields) => self.entries(&fields.entries),
            Expr::Comprehension(over) => {
                self.walk(&over.iter_range);
                self.walk(&over.accu_init);
                let outside = self.bound.len();
                self.bound.extend([over.iter_var.as_str(), over.accu_var.as_str()]);
                self.bound.extend(over.iter_var2.as_deref());
                [&over.loop_cond, &over.loop_step, &over.result].into_iter().for_each(|e| self.walk(e));
                self.bound.truncate(outside);
            }
        }
    }

    fn entries(&mut self, entries: &'a [IdedEntryExpr]) {
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.walk(&field.value),
                EntryExpr::MapEntry(entry) => {
                    self.walk(&entry.key);
                    self.walk(&entry.value);
                }
            }
        }
    }
}

/// Whether there is a function of this name, of whatever takes it: the library tells no names, but says of a call with nothing
/// that fits whether it knows the name.
fn is_function(env: &Arc<Env>, name: &str) -> bool {
    let context = Context::with_env(Arc::clone(env));
    let unknown = |call: String| {
        let called = env.compile(&call).map(|program| program.execute(&context).map(drop));
        matches!(called, Ok(Err(ExecutionError::UndeclaredReference(_))))
    };
    !(unknown(format!("{name}()")) && unknown(format!("''.{name}()")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_json_can_be_reckoned_with() {
        let data = serde_json::json!({"n": 2, "x": 1.5, "list": [1, -2]});
        for (text, expected) in [("d.n * 10 + 1", "21"), ("d.list.map(i, i + 1)", "[2,-1]"), ("d.x + 1.0", "2.5")] {
            let expression = Expression::compile(text, &["d"]).unwrap();
            let value = expression.evaluate([("d", value_of(&data))]).unwrap().json().unwrap();
            assert_eq!(value.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn texts_that_are_json_can_be_looked_into() {
        let data = serde_json::json!({"payload": r#"{"system": "telemetry", "parts": [{"n": 7}]}"#, "bad": "{"});
        let decide = |text: &str| Expression::compile(text, &["d"]).unwrap().decide([("d", value_of(&data))]);
        assert_eq!(decide("json(d.payload).system == 'telemetry' && json(d.payload).parts[0].n > 6"), Ok(true));
        assert_eq!(decide("has(json(d.payload).other)"), Ok(false));
        for text in ["json(d.bad).a == 1", "json(7) == 7", "json(d.none) == 7"] {
            assert!(matches!(decide(text), Err(ExpressionError::Evaluation { .. })), "{text}");
        }
        let long = serde_json::json!({"payload": " ".repeat(JSON_BYTES_MAX + 1)});
        let expression = Expression::compile("json(d.payload) == 1", &["d"]).unwrap();
        assert!(expression.decide([("d", value_of(&long))]).unwrap_err().to_string().contains("allowed: 1048576"));
    }

    #[test]
    fn what_it_reads_is_known() {
        let text = "steps.a.output.exists(steps2, steps2.b == input) && has(steps.c.d)";
        let expression = Expression::compile(text, &["steps", "input"]).unwrap();
        assert_eq!(expression.members_of("steps"), ["a", "c"].into());
        assert!(expression.names("input") && !expression.names("steps2"));
        let refused = Expression::compile("step.a", &["steps", "input"]).unwrap_err().to_string();
        assert_eq!(refused, r#""step.a" names "step"; allowed: steps, input"#);
    }

    #[test]
    fn a_function_that_is_none_is_refused_before_anything_is_evaluated() {
        for text in [
            "size(d) > 1 && d.a.size() == 2",
            "d.a.contains('x') || d.a.startsWith('x') || d.a.endsWith('x') || d.a.matches('^x')",
            "string(1) == d.a && int('1') == 1 && uint(1) == 1u && double(1) == 1.0 && bool('true') && type(1) == int",
            "duration('1s') < duration('2s') && timestamp(d.t) < timestamp(d.u) && bytes('a') == b'a' && dyn(1) == 1",
            "timestamp(d.t).getFullYear() == 2026 && timestamp(d.t).getHours('UTC') == 1",
            "has(d.a) && d.l.all(x, x > 1) && d.l.exists(x, x > 1) && d.l.exists_one(x, x > 1)",
            "d.l.map(x, x + 1).filter(x, x > 1)[0] in d.l && (d.a == 'x' ? !d.b : -1 < 2)",
            "json(d.a).b == 1",
        ] {
            assert!(Expression::compile(text, &["d", "int"]).is_ok(), "{text}");
        }
        for text in ["nofunc(d.x)", "d.x.nofunc()", "d.l.exists(x, nofunc(x))"] {
            let refused = Expression::compile(text, &["d"]).unwrap_err().to_string();
            assert!(refused.contains(r#"calls "nofunc""#) && refused.ends_with("and json"), "{refused}");
        }
    }
}
