//! What a decision on one action needs: the rest of the policies and of the vocabulary cannot bear on it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy::{Effect, Entities, EntityUid, Policy, PolicySet};
use serde_json::{Value as Json, json};

use crate::approvers::APPROVED_BY;
use crate::decide::Verdict;
use crate::form::Form;
use crate::request::{EntityRef, Text, Value};
use crate::sieve::{Test, View};

/// Sets of policies that are kept ready; requests are of few kinds.
const MOST_SETS: usize = 1024;

/// Verdicts that are kept for one action.
const MOST_VERDICTS: usize = 1024;

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
    /// What Cedar said, by everything it was given.
    verdicts: RwLock<HashMap<String, Verdict>>,
}

/// A policy that may apply.
struct Candidate {
    id: String,
    forbids: bool,
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

/// What the tests leave to ask.
pub(crate) enum Choice {
    /// Nothing: of every policy it is certain whether it applies.
    Decided(Verdict),
    /// These policies.
    Ask(Arc<Chosen>),
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
    /// Everything that Cedar is given when these policies are asked. Each text comes with its length, so that no two questions
    /// are the same by accident.
    pub(crate) fn question(&self, view: &View<'_>) -> String {
        let mut question = Question(String::with_capacity(256));
        question.number(self.ids.len());
        self.ids.iter().for_each(|id| question.number(*id));
        question.entity(&view.request.principal);
        question.set(view.request.groups.iter().map(|group| &**group));
        question.text(&view.part.resource.kind);
        question.text(&view.part.resource.id);
        question.number(view.part.resource.parents.len());
        view.part.resource.parents.iter().for_each(|parent| question.entity(parent));
        question.number(view.part.resource.attrs.len());
        question.facts(view.part.resource.attrs.iter());
        question.facts(view.request.context.iter().filter(|(name, _)| self.looks_at(name)));
        if self.looks_at(APPROVED_BY) {
            question.set(view.approved_by.iter().map(String::as_str));
        }
        question.0
    }

    /// Whether a policy may look at this attribute of the context.
    pub(crate) fn looks_at(&self, name: &str) -> bool {
        self.looks.everything || self.looks.names.contains(name)
    }
}

struct Question(String);

impl Question {
    fn number(&mut self, number: usize) {
        // Writing to a String does not fail.
        let _ = write!(self.0, "{number},");
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.push_str(text);
    }

    fn set<'text>(&mut self, texts: impl ExactSizeIterator<Item = &'text str>) {
        self.number(texts.len());
        texts.for_each(|text| self.text(text));
    }

    fn entity(&mut self, entity: &EntityRef<'_>) {
        self.text(&entity.kind);
        self.text(&entity.id);
    }

    fn facts<'facts>(&mut self, facts: impl Iterator<Item = (&'facts Text<'facts>, &'facts Value<'facts>)>) {
        for (name, value) in facts {
            self.text(name);
            match value {
                Value::Bool(value) => self.0.push_str(if *value { "t" } else { "f" }),
                Value::Long(value) => {
                    let _ = write!(self.0, "l{value},");
                }
                Value::Text(text) => {
                    self.0.push('s');
                    self.text(text);
                }
                Value::Set(texts) => {
                    self.0.push('x');
                    self.set(texts.iter().map(|text| &**text));
                }
            }
        }
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
            verdicts: RwLock::default(),
        })
    }

    /// What `ask` says, or said to the same question before.
    pub(crate) fn verdict(&self, question: String, ask: impl FnOnce() -> Result<Verdict, String>) -> Result<Verdict, String> {
        let known = self.verdicts.read().unwrap_or_else(PoisonError::into_inner).get(&question).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let verdict = ask()?;
        let mut kept = self.verdicts.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_VERDICTS {
            kept.clear();
        }
        kept.insert(question, verdict.clone());
        Ok(verdict)
    }

    /// The policies that may apply, or what they say where that is certain without asking Cedar: a forbid that applies denies,
    /// else a permit that applies allows.
    pub(crate) fn choose(&self, view: &View<'_>) -> Result<Choice, String> {
        let mut certain = true;
        let mut ids: Vec<usize> = Vec::new();
        for (index, candidate) in self.each.iter().enumerate() {
            let applies = candidate.test.evaluate(view);
            certain &= applies.is_some();
            if applies != Some(false) {
                ids.push(index);
            }
        }
        if certain {
            Ok(Choice::Decided(self.decided(&ids)))
        } else {
            self.chosen(ids).map(Choice::Ask)
        }
    }

    /// What these policies, which all apply, say together.
    fn decided(&self, ids: &[usize]) -> Verdict {
        let those = |forbid: bool| -> Vec<String> {
            let applying = ids.iter().filter_map(|index| self.each.get(*index));
            let mut policies: Vec<String> = applying
                .filter(|candidate| candidate.forbids == forbid)
                .map(|candidate| candidate.id.clone())
                .collect();
            policies.sort();
            policies
        };
        let forbids = those(true);
        let policies = if forbids.is_empty() { those(false) } else { Vec::new() };
        Verdict {
            allow: !policies.is_empty(),
            policies: if forbids.is_empty() { policies } else { forbids },
            errors: Vec::new(),
        }
    }

    /// These policies together.
    fn chosen(&self, ids: Vec<usize>) -> Result<Arc<Chosen>, String> {
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
            id: policy.id().to_string(),
            forbids: policy.effect() == Effect::Forbid,
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
            Ok(policy) => Self {
                test,
                policy,
                looks,
                ..whole
            },
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
