//! What a decision on one action needs: the rest of the policies and of the vocabulary cannot bear on it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy::{Entities, EntityUid, Policy, PolicySet};
use serde_json::{Value as Json, json};

use crate::form::Form;
use crate::sieve::{Test, View};

/// Sets of policies that are kept ready; requests are of few kinds.
const MOST_SETS: usize = 1024;

/// Everything for one action.
pub(crate) struct ActionSlice {
    pub(crate) uid: EntityUid,
    /// The action and the groups it is in, with the closure already made.
    pub(crate) entities: Entities,
    /// The policies whose scope has this action.
    pub(crate) policies: PolicySet,
    pub(crate) form: Form,
    each: Vec<Candidate>,
    /// By the indices in `each` of the policies in it.
    chosen: RwLock<HashMap<Vec<usize>, Arc<Chosen>>>,
}

/// A policy that may apply.
struct Candidate {
    test: Test,
    policy: Policy,
    looks: Looks,
}

/// What a policy looks at.
#[derive(Clone, Default)]
struct Looks {
    /// Names of attributes, of whatever.
    names: BTreeSet<String>,
    /// At the context as a whole, or it cannot be told.
    everything: bool,
    action: bool,
}

/// Policies to ask together.
pub(crate) struct Chosen {
    pub(crate) ids: Vec<usize>,
    pub(crate) policies: PolicySet,
    /// Some condition looks at the action; the scopes need not be looked at again.
    pub(crate) needs_action: bool,
    looks: Looks,
}

impl Chosen {
    /// Whether a policy may look at this attribute of the context.
    pub(crate) fn looks_at(&self, name: &str) -> bool {
        self.looks.everything || self.looks.names.contains(name)
    }
}

impl ActionSlice {
    /// `policies` are those whose scope has the action `uid`, which is in the groups `within`.
    pub(crate) fn new(
        uid: &EntityUid,
        within: &BTreeSet<&EntityUid>,
        entities: Entities,
        policies: &[Policy],
        form: Form,
    ) -> Result<Self, String> {
        Ok(Self {
            uid: uid.clone(),
            entities,
            policies: PolicySet::from_policies(policies.iter().cloned()).map_err(|error| error.to_string())?,
            form,
            each: policies.iter().map(|policy| Candidate::new(policy, within, uid)).collect(),
            chosen: RwLock::default(),
        })
    }

    /// The policies that may apply.
    pub(crate) fn choose(&self, view: &View<'_>) -> Result<Arc<Chosen>, String> {
        let may_apply = |(_, candidate): &(usize, &Candidate)| candidate.test.evaluate(view) != Some(false);
        let ids: Vec<usize> = self.each.iter().enumerate().filter(may_apply).map(|(index, _)| index).collect();
        let known = self.chosen.read().unwrap_or_else(PoisonError::into_inner).get(&ids).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let candidates: Vec<&Candidate> = ids.iter().filter_map(|index| self.each.get(*index)).collect();
        let mut looks = Looks::default();
        for candidate in &candidates {
            looks.add(&candidate.looks);
        }
        let policies = candidates.iter().map(|candidate| candidate.policy.clone());
        let chosen = Arc::new(Chosen {
            policies: PolicySet::from_policies(policies).map_err(|error| error.to_string())?,
            needs_action: looks.action,
            looks,
            ids: ids.clone(),
        });
        let mut kept = self.chosen.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST_SETS {
            kept.insert(ids, Arc::clone(&chosen));
        }
        Ok(chosen)
    }
}

impl Candidate {
    fn new(policy: &Policy, within: &BTreeSet<&EntityUid>, uid: &EntityUid) -> Self {
        let whole = Self {
            test: Test::Unknown,
            policy: policy.clone(),
            looks: Looks {
                everything: true,
                action: true,
                ..Looks::default()
            },
        };
        let Ok(mut form) = policy.to_json() else { return whole };
        let mut looks = Looks::default();
        looks.visit(form.get("conditions").unwrap_or(&Json::Null));
        let test = Test::of_policy(&form, within, uid);
        // The slice has been cut by it: evaluating it again costs more than most conditions.
        if let Some(scope) = form.get_mut("action") {
            *scope = json!({ "op": "All" });
        }
        match Policy::from_json(Some(policy.id().clone()), form) {
            Ok(policy) => Self { test, policy, looks },
            Err(_) => Self { test, ..whole },
        }
    }
}

impl Looks {
    fn add(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        self.everything |= other.everything;
        self.action |= other.action;
    }

    fn visit(&mut self, node: &Json) {
        match node {
            Json::Array(items) => items.iter().for_each(|item| self.visit(item)),
            Json::Object(members) => {
                if let Some(attribute) = members.get("attr").and_then(Json::as_str) {
                    self.names.insert(attribute.to_owned());
                    if members.get("left").is_some_and(is_context) {
                        return;
                    }
                }
                self.everything |= is_context(node);
                self.action |= members.get("Var").and_then(Json::as_str) == Some("action");
                members.values().for_each(|member| self.visit(member));
            }
            _ => {}
        }
    }
}

fn is_context(node: &Json) -> bool {
    node.get("Var").and_then(Json::as_str) == Some("context")
}
