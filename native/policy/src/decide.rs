//! One request, one answer: what has to be allowed, and whose approval it takes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cedar_policy::{Context, Decision, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use serde::{Deserialize, Serialize};

use crate::approvers::{APPROVED_BY, ApproverGroup};
use crate::compile::Policies;

/// Who asks to do what to which objects, all in one: what is the same for every object is built once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `User` or `Service` with its name.
    pub principal: EntityRef,
    /// Names of the `Group`s the principal is in.
    pub groups: Vec<String>,
    /// Facts by the names of the schema.
    pub context: BTreeMap<String, Value>,
    /// Groups that have approved this very request.
    #[serde(default, rename = "approvedBy")]
    pub approved_by: BTreeSet<String>,
    /// What is done to what; all of it must be allowed.
    pub parts: Vec<Part>,
}

/// One action on one object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Name of the action.
    pub action: String,
    /// What is acted on.
    pub resource: ResourceRef,
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

/// How it was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Every part has a permit, none a forbid, and nothing went wrong.
    Allow,
    /// Nobody's approval would change it.
    Deny,
    /// Approval by all of `approvers`, and nothing less, would make it `Allow`.
    Approve,
}

/// The decision with the policies that made it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// How it was decided.
    pub kind: Kind,
    /// Ids of the policies that determined the decision. Allow: the permits of all parts. Deny: what denies the part `part`,
    /// empty when nothing permits it. Approve: the forbids that ask, of all parts.
    pub policies: Vec<String>,
    /// Index of the first part that is not allowed; 0 when all are.
    pub part: usize,
    /// Whose approval it takes.
    pub approvers: Vec<ApproverGroup>,
    /// What went wrong; any makes it a denial.
    pub errors: Vec<String>,
}

/// One evaluation of one part.
struct Verdict {
    allow: bool,
    /// Sorted.
    policies: Vec<String>,
    errors: Vec<String>,
}

/// What is the same for every part.
struct Asker {
    uid: EntityUid,
    entity: Entity,
    context: Vec<(String, RestrictedExpression)>,
}

impl Policies {
    /// Decides. Never fails: what does not fit the schema is a denial that says so in `errors`.
    #[must_use]
    pub fn decide(&self, request: &Request) -> Answer {
        let mut allowed_by: Vec<String> = Vec::new();
        let mut asking: Vec<String> = Vec::new();
        let mut first_asking = 0;
        let mut approvers: BTreeMap<String, u32> = BTreeMap::new();
        let asker = match self.asker(request) {
            Ok(asker) => asker,
            Err(error) => return denied(0, Vec::new(), vec![error]),
        };
        let mut contexts = HashMap::new();
        for (index, part) in request.parts.iter().enumerate() {
            let mut approved_by = request.approved_by.clone();
            loop {
                let verdict = match self.evaluate(&asker, part, &approved_by, &mut contexts) {
                    Ok(verdict) => verdict,
                    Err(error) => return denied(index, Vec::new(), vec![error]),
                };
                if verdict.allow {
                    allowed_by.extend(verdict.policies);
                    break;
                }
                let Some(wanted) = self.approvers_of(&verdict) else {
                    return denied(index, verdict.policies, verdict.errors);
                };
                let before = approved_by.len();
                for approver in wanted {
                    approved_by.insert(approver.group.clone());
                    let needed = approvers.entry(approver.group.clone()).or_default();
                    *needed = approver.needed.max(*needed);
                }
                // Compiling made sure that approval lifts a forbid that asks for it. Should it not, nobody is asked in vain.
                if approved_by.len() == before {
                    return denied(index, verdict.policies, verdict.errors);
                }
                if asking.is_empty() {
                    first_asking = index;
                }
                asking.extend(verdict.policies);
            }
        }
        let kind = if asking.is_empty() { Kind::Allow } else { Kind::Approve };
        Answer {
            kind,
            policies: unique(if kind == Kind::Allow { allowed_by } else { asking }),
            part: first_asking,
            approvers: approvers
                .into_iter()
                .map(|(group, needed)| ApproverGroup { group, needed })
                .collect(),
            errors: Vec::new(),
        }
    }

    /// Whose approval lifts everything that denies; None when something denies that no approval lifts.
    fn approvers_of(&self, verdict: &Verdict) -> Option<Vec<&ApproverGroup>> {
        if verdict.policies.is_empty() || !verdict.errors.is_empty() {
            return None;
        }
        let mut wanted = Vec::new();
        for policy in &verdict.policies {
            wanted.extend(self.approvers.get(policy)?);
        }
        Some(wanted)
    }

    fn asker(&self, request: &Request) -> Result<Asker, String> {
        let uid = self.uid(&request.principal.kind, &request.principal.id)?;
        let group = self.entity_type("Group")?;
        let groups = request
            .groups
            .iter()
            .map(|name| EntityUid::from_type_name_and_id(group.clone(), EntityId::new(name)))
            .collect();
        Ok(Asker {
            entity: Entity::new_no_attrs(uid.clone(), groups),
            uid,
            context: request
                .context
                .iter()
                .map(|(name, value)| (name.clone(), value.expression()))
                .collect(),
        })
    }

    fn evaluate(
        &self,
        asker: &Asker,
        part: &Part,
        approved_by: &BTreeSet<String>,
        contexts: &mut HashMap<BTreeSet<String>, Context>,
    ) -> Result<Verdict, String> {
        let action = self
            .actions
            .get(&part.action)
            .ok_or_else(|| format!("the schema has no action \"{}\"", part.action))?;
        let context = if let Some(known) = contexts.get(approved_by) {
            known.clone()
        } else {
            let approvals = RestrictedExpression::new_set(approved_by.iter().map(|group| RestrictedExpression::new_string(group.clone())));
            let pairs = asker.context.iter().cloned().chain([(APPROVED_BY.to_owned(), approvals)]);
            let made = Context::from_pairs(pairs).map_err(|error| error.to_string())?;
            contexts.insert(approved_by.clone(), made.clone());
            made
        };
        let resource = self.resource(&part.resource)?;
        let query = cedar_policy::Request::new(asker.uid.clone(), action.uid.clone(), resource.uid(), context, Some(&self.schema))
            .map_err(|error| error.to_string())?;
        let entities = action
            .entities
            .clone()
            .add_entities([asker.entity.clone(), resource], None)
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
        Ok(Verdict {
            allow: response.decision() == Decision::Allow && errors.is_empty(),
            policies,
            errors,
        })
    }

    fn resource(&self, description: &ResourceRef) -> Result<Entity, String> {
        let uid = self.uid(&description.kind, &description.id)?;
        let parents = description
            .parents
            .iter()
            .map(|parent| self.uid(&parent.kind, &parent.id))
            .collect::<Result<HashSet<_>, _>>()?;
        if description.attrs.is_empty() {
            return Ok(Entity::new_no_attrs(uid, parents));
        }
        let attributes = description
            .attrs
            .iter()
            .map(|(name, value)| (name.clone(), value.expression()))
            .collect();
        Entity::new(uid, attributes, parents).map_err(|error| error.to_string())
    }

    fn uid(&self, kind: &str, id: &str) -> Result<EntityUid, String> {
        Ok(EntityUid::from_type_name_and_id(self.entity_type(kind)?.clone(), EntityId::new(id)))
    }

    fn entity_type(&self, kind: &str) -> Result<&EntityTypeName, String> {
        self.types.get(kind).ok_or_else(|| format!("\"{kind}\" is not an entity type"))
    }
}

fn denied(part: usize, policies: Vec<String>, errors: Vec<String>) -> Answer {
    Answer {
        kind: Kind::Deny,
        policies,
        part,
        approvers: Vec::new(),
        errors,
    }
}

/// Each once, in the order in which they came.
fn unique(mut ids: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    ids
}

impl Value {
    fn expression(&self) -> RestrictedExpression {
        match self {
            Self::Bool(value) => RestrictedExpression::new_bool(*value),
            Self::Long(value) => RestrictedExpression::new_long(*value),
            Self::Text(value) => RestrictedExpression::new_string(value.clone()),
            Self::Set(values) => RestrictedExpression::new_set(values.iter().cloned().map(RestrictedExpression::new_string)),
        }
    }
}
