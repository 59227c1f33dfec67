//! Values of a definition that are filled in when a step runs: any YAML, in which a text that begins with `=` is an
//! expression. A text that is to begin with `=` is written with two.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::scope::Scope;
use crate::expression::{Expression, ExpressionError};

/// A value with expressions in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    Literal(Value),
    Expression(Expression),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Template {
    /// # Errors
    /// The first expression that is wrong.
    pub(super) fn parse(value: &Value, allowed: &[&str]) -> Result<Self, ExpressionError> {
        Ok(match value {
            Value::String(text) => match text.strip_prefix('=') {
                Some(literal) if literal.starts_with('=') => Self::Literal(literal.into()),
                Some(expression) => Self::Expression(Expression::compile(expression.trim(), allowed)?),
                None => Self::Literal(value.clone()),
            },
            Value::Array(items) => {
                Self::List(items.iter().map(|item| Self::parse(item, allowed)).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let members = members.iter().map(|(key, value)| Ok((key.clone(), Self::parse(value, allowed)?)));
                Self::Object(members.collect::<Result<_, _>>()?)
            }
            literal => Self::Literal(literal.clone()),
        })
    }

    /// # Errors
    /// The first expression that cannot be evaluated.
    pub fn fill(&self, scope: &Scope) -> Result<Value, ExpressionError> {
        Ok(match self {
            Self::Literal(value) => value.clone(),
            Self::Expression(expression) => scope.value(expression)?,
            Self::List(items) => Value::Array(items.iter().map(|item| item.fill(scope)).collect::<Result<_, _>>()?),
            Self::Object(members) => {
                let members = members.iter().map(|(key, member)| Ok((key.clone(), member.fill(scope)?)));
                Value::Object(members.collect::<Result<Map<_, _>, _>>()?)
            }
        })
    }

    /// Every expression in it.
    pub(super) fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Literal(_) => Vec::new(),
            Self::Expression(expression) => vec![expression],
            Self::List(items) => items.iter().flat_map(Self::expressions).collect(),
            Self::Object(members) => members.values().flat_map(Self::expressions).collect(),
        }
    }
}
