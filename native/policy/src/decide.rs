//! One request, one answer.

use std::collections::{BTreeMap, HashMap, HashSet};

use cedar_policy::{Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use serde::{Deserialize, Serialize};

use crate::compile::Policies;

/// Who asks to do what to which resource.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `User` or `Service` with its name.
    pub principal: EntityRef,
    /// Names of the `Group`s the principal is in.
    pub groups: Vec<String>,
    /// Name of the action.
    pub action: String,
    /// What is acted on.
    pub resource: ResourceRef,
    /// Facts by the names of the schema.
    pub context: BTreeMap<String, Value>,
}

/// An entity by type and id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityRef {
    /// Entity type of the schema.
    #[serde(rename = "type")]
    pub kind: String,
    /// Any text.
    pub id: String,
}

/// The resource with all entities it is in, direct and indirect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceRef {
    /// Entity type of the schema.
    #[serde(rename = "type")]
    pub kind: String,
    /// Any text.
    pub id: String,
    /// Everything it is in.
    #[serde(default)]
    pub parents: Vec<EntityRef>,
    /// Attributes by the names of the schema.
    #[serde(default)]
    pub attrs: BTreeMap<String, Value>,
}

/// The values a schema here can ask for.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Bool.
    Bool(bool),
    /// Long.
    Long(i64),
    /// String.
    Text(String),
    /// Set<String>.
    Set(Vec<String>),
}

/// The decision with the policies that made it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// True only when a permit applies, no forbid does, and nothing went wrong.
    pub allow: bool,
    /// Ids of the policies that determined the decision, sorted. Empty on a denial: nothing permits it.
    pub policies: Vec<String>,
    /// What went wrong; any makes it a denial.
    pub errors: Vec<String>,
}

impl Policies {
    /// Decides. Never fails: what does not fit the schema is a denial that says so in `errors`.
    #[must_use]
    pub fn decide(&self, request: Request) -> Answer {
        match self.try_decide(request) {
            Ok(answer) => answer,
            Err(error) => Answer {
                allow: false,
                policies: Vec::new(),
                errors: vec![error],
            },
        }
    }

    fn try_decide(&self, request: Request) -> Result<Answer, String> {
        let action = self
            .actions
            .get(&request.action)
            .ok_or_else(|| format!("the schema has no action \"{}\"", request.action))?;
        let principal = uid(&request.principal.kind, &request.principal.id)?;
        let resource = uid(&request.resource.kind, &request.resource.id)?;
        let entities = entities(&action.entities, &principal, &request.groups, &resource, &request.resource)?;
        let context = Context::from_pairs(request.context.into_iter().map(|(name, value)| (name, value.into_expression())))
            .map_err(|error| error.to_string())?;
        let query = cedar_policy::Request::new(principal, action.uid.clone(), resource, context, Some(&self.schema))
            .map_err(|error| error.to_string())?;
        let response = self.authorizer.is_authorized(&query, &action.policies, &entities);
        let mut policies: Vec<String> = response
            .diagnostics()
            .reason()
            .map(|id| AsRef::<str>::as_ref(id).to_owned())
            .collect();
        policies.sort();
        // Cedar skips a policy that errors; the skipped one may have been the forbid.
        let errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        let allow = response.decision() == Decision::Allow && errors.is_empty();
        Ok(Answer { allow, policies, errors })
    }
}

impl Value {
    fn into_expression(self) -> RestrictedExpression {
        match self {
            Self::Bool(value) => RestrictedExpression::new_bool(value),
            Self::Long(value) => RestrictedExpression::new_long(value),
            Self::Text(value) => RestrictedExpression::new_string(value),
            Self::Set(values) => RestrictedExpression::new_set(values.into_iter().map(RestrictedExpression::new_string)),
        }
    }
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let name: EntityTypeName = kind.parse().map_err(|_| format!("\"{kind}\" is not an entity type"))?;
    Ok(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
}

/// The principal in its groups and the resource in its parents, beside the action in its own.
fn entities(
    actions: &Entities,
    principal: &EntityUid,
    groups: &[String],
    resource: &EntityUid,
    description: &ResourceRef,
) -> Result<Entities, String> {
    let groups = groups.iter().map(|group| uid("Group", group)).collect::<Result<HashSet<_>, _>>()?;
    let parents = description
        .parents
        .iter()
        .map(|parent| uid(&parent.kind, &parent.id))
        .collect::<Result<HashSet<_>, _>>()?;
    let resource = if description.attrs.is_empty() {
        Entity::new_no_attrs(resource.clone(), parents)
    } else {
        let attributes: HashMap<String, RestrictedExpression> = description
            .attrs
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into_expression()))
            .collect();
        Entity::new(resource.clone(), attributes, parents).map_err(|error| error.to_string())?
    };
    actions
        .clone()
        .add_entities([Entity::new_no_attrs(principal.clone(), groups), resource], None)
        .map_err(|error| error.to_string())
}
