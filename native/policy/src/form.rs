//! The form that requests must have, as the schema says, in a shape that is checked in a microsecond.

use std::collections::{BTreeMap, HashSet};

use cedar_policy::{EntityUid, Schema, SchemaFragment};
use serde_json::Value as Json;

use crate::approvers::APPROVED_BY;
use crate::request::{Part, Request, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Long,
    Text,
    Texts,
}

/// What requests with one action look like. Whatever the schema says beyond what can be told here fits nothing.
#[derive(Debug, Default)]
pub(crate) struct Form {
    principals: HashSet<String>,
    resources: HashSet<String>,
    /// Without `approvedBy`, which is the engine's own.
    context: Option<BTreeMap<String, Kind>>,
}

impl Form {
    /// Whether the request certainly is as the schema wants it.
    pub(crate) fn fits(&self, request: &Request<'_>, part: &Part<'_>) -> bool {
        let Some(context) = &self.context else { return false };
        self.principals.contains(&*request.principal.kind)
            && self.resources.contains(&*part.resource.kind)
            && context.len() == request.context.len()
            // Both are sorted by name.
            && context.iter().zip(&request.context).all(|((wanted, kind), (name, value))| **name == **wanted && *kind == kind_of(value))
    }
}

fn kind_of(value: &Value<'_>) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Long(_) => Kind::Long,
        Value::Text(_) => Kind::Text,
        Value::Set(_) => Kind::Texts,
    }
}

/// The schema in Cedar's JSON form.
pub(crate) struct Forms(Json);

impl Forms {
    pub(crate) fn read(schema: &str) -> Result<Self, String> {
        let (fragment, _warnings) = SchemaFragment::from_cedarschema_str(schema).map_err(|error| error.to_string())?;
        fragment.to_json_value().map(Self).map_err(|error| error.to_string())
    }

    pub(crate) fn of(&self, schema: &Schema, action: &EntityUid) -> Form {
        Form {
            principals: schema
                .principals_for_action(action)
                .into_iter()
                .flatten()
                .map(ToString::to_string)
                .collect(),
            resources: schema
                .resources_for_action(action)
                .into_iter()
                .flatten()
                .map(ToString::to_string)
                .collect(),
            context: self.context(action.id().unescaped()),
        }
    }

    fn context(&self, action: &str) -> Option<BTreeMap<String, Kind>> {
        // Everything is declared outside of namespaces.
        let all = self.0.get("")?;
        let mut stated = all.get("actions")?.get(action)?.get("appliesTo")?.get("context")?;
        if let Some(common) = stated
            .get("type")
            .and_then(Json::as_str)
            .and_then(|name| all.get("commonTypes")?.get(name))
        {
            stated = common;
        }
        if stated.get("type")?.as_str()? != "Record" {
            return None;
        }
        let mut context = stated
            .get("attributes")?
            .as_object()?
            .iter()
            .map(|(name, declared)| Some((name.clone(), declared_kind(declared)?)))
            .collect::<Option<BTreeMap<_, _>>>()?;
        (context.remove(APPROVED_BY)? == Kind::Texts).then_some(context)
    }
}

fn declared_kind(declared: &Json) -> Option<Kind> {
    // Optional attributes are more than can be told here.
    if declared.get("required").is_some_and(|required| required != true) {
        return None;
    }
    match (declared.get("type")?.as_str()?, declared.get("name").and_then(Json::as_str)) {
        ("EntityOrCommon", Some("Bool")) => Some(Kind::Bool),
        ("EntityOrCommon", Some("Long")) => Some(Kind::Long),
        ("EntityOrCommon", Some("String")) => Some(Kind::Text),
        ("Set", None) => (declared_kind(declared.get("element")?)? == Kind::Text).then_some(Kind::Texts),
        _ => None,
    }
}
