//! One request, one answer: what has to be allowed, and whose approval it takes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cedar_policy::{Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, RestrictedExpression, Schema};
use serde::Serialize;

use crate::action::{ActionSlice, Choice};
use crate::approvers::{APPROVED_BY, ApproverGroup};
use crate::compile::Policies;
use crate::request::{EntityRef, Part, Request, Text, Value};
use crate::sieve::View;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) allow: bool,
    /// Sorted.
    pub(crate) policies: Vec<String>,
    pub(crate) errors: Vec<String>,
}

impl Policies {
    /// Decides. Never fails: what does not fit the schema is a denial that says so in `errors`.
    #[must_use]
    pub fn decide(&self, request: &Request<'_>) -> Answer {
        let mut allowed_by: Vec<String> = Vec::new();
        let mut asking: Vec<String> = Vec::new();
        let mut first_asking = 0;
        let mut approvers: BTreeMap<String, u32> = BTreeMap::new();
        for (index, part) in request.parts.iter().enumerate() {
            let mut approved_by = request.approved_by.clone();
            loop {
                let verdict = match self.evaluate(request, part, &approved_by) {
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

    /// Asks Cedar about the policies that may apply, with the facts that these look at, unless it is certain of all of them whether
    /// they apply. Where the request is not plainly of the
    /// schema's form, Cedar gets the whole of it to check.
    pub(crate) fn evaluate(&self, request: &Request<'_>, part: &Part<'_>, approved_by: &BTreeSet<String>) -> Result<Verdict, String> {
        let action = self.action(part)?;
        if !action.form.fits(request, part) || !self.are_known(part) {
            return self.evaluate_all(request, part, approved_by);
        }
        let view = View {
            request,
            part,
            approved_by,
        };
        let chosen = match action.choose(&view)? {
            Choice::Decided(verdict) => return Ok(verdict),
            Choice::Ask(chosen) => chosen,
        };
        action.verdict(chosen.question(&view), || {
            let context = request.context.iter().filter(|(name, _)| chosen.looks_at(name));
            let approvals = chosen.looks_at(APPROVED_BY).then_some(approved_by);
            let actions = if chosen.needs_action { Some(&action.entities) } else { None };
            let query = Query {
                context: context_of(context, approvals)?,
                entities: self.entities(request, part, actions)?,
                schema: None,
            };
            self.ask(query, request, part, action, &chosen.policies)
        })
    }

    /// Whether what the part's resource is in can be what it is in.
    fn are_known(&self, part: &Part<'_>) -> bool {
        let resource = &part.resource;
        let itself = |parent: &EntityRef<'_>| *parent.kind == *resource.kind && *parent.id == *resource.id;
        resource
            .parents
            .iter()
            .all(|parent| self.types.contains_key(&*parent.kind) && !itself(parent))
    }

    /// The same by Cedar alone: every policy of the action, the whole request checked against the schema.
    pub(crate) fn evaluate_all(&self, request: &Request<'_>, part: &Part<'_>, approved_by: &BTreeSet<String>) -> Result<Verdict, String> {
        let action = self.action(part)?;
        let query = Query {
            context: context_of(request.context.iter(), Some(approved_by))?,
            entities: self.entities(request, part, Some(&action.entities))?,
            schema: Some(&self.schema),
        };
        self.ask(query, request, part, action, &action.policies)
    }

    /// How many policies of the action are to be asked; 0 also where Cedar need not be asked at all. And how many there are.
    #[cfg(test)]
    pub(crate) fn asked(&self, request: &Request<'_>, part: &Part<'_>) -> (usize, usize) {
        let view = View {
            request,
            part,
            approved_by: &request.approved_by,
        };
        self.action(part).map_or((0, 0), |action| {
            let all = action.policies.policies().count();
            match action.choose(&view) {
                Ok(Choice::Decided(_)) => (0, all),
                Ok(Choice::Ask(chosen)) => (chosen.ids.len(), all),
                Err(_) => (all, all),
            }
        })
    }

    fn ask(
        &self,
        query: Query<'_>,
        request: &Request<'_>,
        part: &Part<'_>,
        action: &ActionSlice,
        policies: &PolicySet,
    ) -> Result<Verdict, String> {
        let principal = self.uid(&request.principal)?;
        let resource = self.uid_of(&part.resource.kind, &part.resource.id)?;
        let asked = cedar_policy::Request::new(principal, action.uid.clone(), resource, query.context, query.schema)
            .map_err(|error| error.to_string())?;
        let response = self.authorizer.is_authorized(&asked, policies, &query.entities);
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

    fn action(&self, part: &Part<'_>) -> Result<&ActionSlice, String> {
        self.actions
            .get(&*part.action)
            .ok_or_else(|| format!("the schema has no action \"{}\"", &*part.action))
    }

    /// The principal in its groups and the resource in its parents, beside the action in its own.
    fn entities(&self, request: &Request<'_>, part: &Part<'_>, actions: Option<&Entities>) -> Result<Entities, String> {
        let group = self.entity_type("Group")?;
        let groups = request
            .groups
            .iter()
            .map(|name| EntityUid::from_type_name_and_id(group.clone(), EntityId::new(&**name)))
            .collect();
        let principal = Entity::new_no_attrs(self.uid(&request.principal)?, groups);
        let resource = &part.resource;
        let uid = self.uid_of(&resource.kind, &resource.id)?;
        let parents = resource
            .parents
            .iter()
            .map(|parent| self.uid(parent))
            .collect::<Result<HashSet<_>, _>>()?;
        let resource = if resource.attrs.is_empty() {
            Entity::new_no_attrs(uid, parents)
        } else {
            let attributes = resource.attrs.iter().map(|(name, value)| (name.to_string(), value.expression()));
            Entity::new(uid, attributes.collect(), parents).map_err(|error| error.to_string())?
        };
        match actions {
            None => Entities::from_entities([principal, resource], None),
            Some(actions) => actions.clone().add_entities([principal, resource], None),
        }
        .map_err(|error| error.to_string())
    }

    fn uid(&self, entity: &EntityRef<'_>) -> Result<EntityUid, String> {
        self.uid_of(&entity.kind, &entity.id)
    }

    fn uid_of(&self, kind: &str, id: &str) -> Result<EntityUid, String> {
        Ok(EntityUid::from_type_name_and_id(self.entity_type(kind)?.clone(), EntityId::new(id)))
    }

    fn entity_type(&self, kind: &str) -> Result<&EntityTypeName, String> {
        self.types.get(kind).ok_or_else(|| format!("\"{kind}\" is not an entity type"))
    }
}

/// What Cedar is given beside the names of who, what and to which.
struct Query<'schema> {
    context: Context,
    entities: Entities,
    /// Present: the request is checked against it.
    schema: Option<&'schema Schema>,
}

fn context_of<'request>(
    facts: impl Iterator<Item = (&'request Text<'request>, &'request Value<'request>)>,
    approved_by: Option<&BTreeSet<String>>,
) -> Result<Context, String> {
    let approvals = approved_by.map(|groups| {
        let groups = groups.iter().map(|group| RestrictedExpression::new_string(group.clone()));
        (APPROVED_BY.to_owned(), RestrictedExpression::new_set(groups))
    });
    let facts = facts.map(|(name, value)| (name.to_string(), value.expression()));
    Context::from_pairs(facts.chain(approvals)).map_err(|error| error.to_string())
}

impl Value<'_> {
    fn expression(&self) -> RestrictedExpression {
        match self {
            Self::Bool(value) => RestrictedExpression::new_bool(*value),
            Self::Long(value) => RestrictedExpression::new_long(*value),
            Self::Text(value) => RestrictedExpression::new_string(value.to_string()),
            Self::Set(values) => {
                RestrictedExpression::new_set(values.iter().map(|value| RestrictedExpression::new_string(value.to_string())))
            }
        }
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
