//! From policy files to a validated, immutable policy set.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use cedar_policy::{
    ActionConstraint, Authorizer, Entities, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode,
    ValidationWarning, Validator,
};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::action::ActionSlice;
use crate::approvers::{self, ApproverGroup};
use crate::diagnostic::Problem;
use crate::form::Forms;
use crate::resources;

/// What to compile.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The schema in Cedar's schema syntax.
    pub schema: String,
    /// The policy files; together they are one policy set.
    pub files: Vec<PolicyFile>,
    /// Every resource there is; a policy that names another one is refused. Absent: names are not checked.
    #[serde(default)]
    pub resources: Option<Vec<String>>,
}

/// One policy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Name to report problems under.
    pub name: String,
    /// Cedar policies.
    pub text: String,
}

/// Every problem found, sorted by file and position.
#[derive(Debug)]
pub struct CompileError(pub Vec<Problem>);

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for CompileError {}

/// Annotations that mean something here. Any other is a mistake: it would be ignored without a word.
const ANNOTATIONS: [&str; 3] = ["id", "hint", "approvers"];

/// The longest policy id, in bytes: ids go into every line of the record.
const MAX_ID: usize = 100;

/// A compiled policy set with the schema it was checked against. Immutable.
pub struct Policies {
    pub(crate) schema: Schema,
    pub(crate) authorizer: Authorizer,
    pub(crate) actions: HashMap<String, ActionSlice>,
    /// Parsing the name of an entity type costs more than a decision.
    pub(crate) types: HashMap<String, EntityTypeName>,
    /// Forbids that ask for approval, by id.
    pub(crate) approvers: HashMap<String, Vec<ApproverGroup>>,
    summaries: Vec<PolicySummary>,
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies")
            .field("policies", &self.summaries)
            .finish_non_exhaustive()
    }
}

/// What there is to know of one policy without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicySummary {
    /// From `@id`.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// The file it came from.
    pub file: String,
    /// Line of the file, from 1.
    pub line: usize,
    /// From `@hint`, else empty.
    pub hint: String,
    /// From `@approvers`: the groups whose approval lifts this forbid.
    pub approvers: Vec<ApproverGroup>,
}

impl Policies {
    /// Parses and validates. Strict: every policy needs a unique `@id`, templates and unknown annotations are refused, and
    /// so is a policy that can never apply.
    ///
    /// # Errors
    /// Every problem of every file at once.
    pub fn compile(spec: &Spec) -> Result<Self, CompileError> {
        let schema = parse_schema(&spec.schema)?;
        let validator = Validator::new(schema.clone());
        let mut problems = Vec::new();
        let mut all: Vec<Policy> = Vec::new();
        let mut summaries: Vec<PolicySummary> = Vec::new();
        for file in &spec.files {
            let parsed = match file.text.parse::<PolicySet>() {
                Ok(parsed) => parsed,
                Err(errors) => {
                    problems.extend(
                        errors
                            .iter()
                            .map(|error| Problem::from_diagnostic(&file.name, &file.text, error, file.text.len())),
                    );
                    continue;
                }
            };
            let named = name_policies(file, &parsed, &mut summaries, &mut problems);
            if let Some(known) = &spec.resources {
                for policy in &named {
                    problems.extend(resources::check(&file.name, &file.text, offset_of(policy), policy, known));
                }
            }
            validate(&validator, file, &named, &mut problems);
            all.extend(named);
        }
        if problems.is_empty() {
            match slice_by_action(&schema, &spec.schema, &all) {
                Ok(actions) => {
                    let asking = summaries.iter().filter(|policy| !policy.approvers.is_empty());
                    let approvers = asking.map(|policy| (policy.id.clone(), policy.approvers.clone())).collect();
                    return Ok(Self {
                        types: schema.entity_types().map(|name| (name.to_string(), name.clone())).collect(),
                        approvers,
                        schema,
                        authorizer: Authorizer::new(),
                        actions,
                        summaries,
                    });
                }
                Err(message) => problems.push(Problem::at("policies", "", 0, &message, None)),
            }
        }
        problems.sort();
        problems.dedup();
        Err(CompileError(problems))
    }

    /// The policies in the order of their files.
    #[must_use]
    pub fn summaries(&self) -> &[PolicySummary] {
        &self.summaries
    }
}

fn parse_schema(text: &str) -> Result<Schema, CompileError> {
    match Schema::from_cedarschema_str(text) {
        Ok((schema, _warnings)) => Ok(schema),
        Err(error) => Err(CompileError(vec![Problem::from_diagnostic("schema", text, &error, 0)])),
    }
}

fn slice_by_action(schema: &Schema, text: &str, policies: &[Policy]) -> Result<HashMap<String, ActionSlice>, String> {
    let all = schema.action_entities().map_err(|error| error.to_string())?;
    let forms = Forms::read(text)?;
    schema
        .actions()
        .map(|uid| {
            let within: BTreeSet<&EntityUid> = all.ancestors(uid).into_iter().flatten().chain([uid]).collect();
            let in_scope = |policy: &&Policy| match policy.action_constraint() {
                ActionConstraint::Any => true,
                ActionConstraint::Eq(wanted) => wanted == *uid,
                ActionConstraint::In(wanted) => wanted.iter().any(|wanted| within.contains(wanted)),
            };
            let entities =
                Entities::from_entities(within.iter().filter_map(|uid| all.get(uid).cloned()), None).map_err(|error| error.to_string())?;
            let policies: Vec<Policy> = policies.iter().filter(in_scope).cloned().collect();
            let slice = ActionSlice::new(uid, &within, entities, &policies, forms.of(schema, uid))?;
            Ok((uid.id().unescaped().to_owned(), slice))
        })
        .collect()
}

/// Where the policy begins in its file.
fn offset_of(policy: &Policy) -> usize {
    match policy.as_ref().loc() {
        Some(loc) => loc.start(),
        None => 0,
    }
}

fn approvers_of(policy: &Policy) -> Result<Vec<ApproverGroup>, approvers::Flaw> {
    let json = policy.to_json().map_err(|error| approvers::Flaw::unreadable(&error.to_string()))?;
    approvers::read(
        policy.annotation("approvers"),
        policy.effect() == cedar_policy::Effect::Forbid,
        &json,
    )
}

/// Gives each policy the id its annotation states.
fn name_policies(file: &PolicyFile, parsed: &PolicySet, summaries: &mut Vec<PolicySummary>, problems: &mut Vec<Problem>) -> Vec<Policy> {
    for template in parsed.templates() {
        let offset = if let Some(loc) = template.as_ref().loc() { loc.start() } else { 0 };
        problems.push(Problem::at(
            &file.name,
            &file.text,
            offset,
            "a policy template cannot be used here",
            Some("write the principal or resource in place of ?principal or ?resource"),
        ));
    }
    let mut policies: Vec<(usize, &Policy)> = parsed.policies().map(|policy| (offset_of(policy), policy)).collect();
    policies.sort_by_key(|(offset, _)| *offset);
    let mut named = Vec::with_capacity(policies.len());
    for (offset, policy) in policies {
        let mut problem = |message: &str, hint: &str| {
            problems.push(Problem::at(&file.name, &file.text, offset, message, Some(hint)));
        };
        for (key, _) in policy.annotations() {
            if !ANNOTATIONS.contains(&key) {
                // The first letter is enough among so few.
                let meant = ANNOTATIONS.iter().find(|known| known.chars().next() == key.chars().next());
                let hint = meant.map_or_else(
                    || format!("known annotations are @{}", ANNOTATIONS.join(", @")),
                    |known| format!("write @{known}"),
                );
                problem(&format!("unknown annotation @{key}"), &hint);
            }
        }
        let approvers = match approvers_of(policy) {
            Ok(approvers) => approvers,
            Err(flaw) => {
                let at = file
                    .text
                    .get(offset..)
                    .and_then(|rest| rest.find(flaw.at))
                    .map_or(offset, |found| offset + found);
                problems.push(Problem::at(&file.name, &file.text, at, &flaw.message, Some(&flaw.hint)));
                Vec::new()
            }
        };
        let mut problem = |message: &str, hint: &str| {
            problems.push(Problem::at(&file.name, &file.text, offset, message, Some(hint)));
        };
        let id = policy.annotation("id").unwrap_or_default();
        let mut named_here = false;
        if id.is_empty() {
            problem("the policy has no id", "write @id(\"a-name\") before it");
        } else if id.len() > MAX_ID || !id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/".contains(c)) {
            problem(
                &format!("the policy id {id:?} is not usable"),
                &format!("write up to {MAX_ID} letters, digits, - _ . : or /"),
            );
        } else if let Some(other) = summaries.iter().find(|other| other.id == id) {
            problem(
                &format!("the policy id \"{id}\" is taken by the policy at {}:{}", other.file, other.line),
                "write another @id",
            );
        } else {
            named_here = true;
            summaries.push(PolicySummary {
                id: id.to_owned(),
                effect: match policy.effect() {
                    cedar_policy::Effect::Permit => "permit",
                    cedar_policy::Effect::Forbid => "forbid",
                },
                file: file.name.clone(),
                line: Problem::at(&file.name, &file.text, offset, "", None).line,
                hint: policy.annotation("hint").unwrap_or_default().to_owned(),
                approvers,
            });
        }
        // A policy without a usable id is still validated, under an id no annotation can state, to report all at once.
        let id = if named_here {
            id.to_owned()
        } else {
            format!("(policy at offset {offset})")
        };
        named.push(policy.new_id(PolicyId::new(id)));
    }
    named
}

/// Type-checks the policies of one file. Cedar reports one error for each action a policy can apply to: one for each place
/// is enough.
fn validate(validator: &Validator, file: &PolicyFile, policies: &[Policy], problems: &mut Vec<Problem>) {
    let set = match PolicySet::from_policies(policies.iter().cloned()) {
        Ok(set) => set,
        Err(error) => {
            problems.push(Problem::at(&file.name, &file.text, 0, &error.to_string(), None));
            return;
        }
    };
    let start_of = |id: &PolicyId| policies.iter().find(|policy| policy.id() == id).map_or(0, offset_of);
    let result = validator.validate(&set, ValidationMode::Strict);
    let mut found: Vec<Problem> = Vec::new();
    for error in result.validation_errors() {
        found.push(Problem::from_diagnostic(&file.name, &file.text, error, start_of(error.policy_id())));
    }
    // An impossible policy beside an error is that error's consequence.
    if found.is_empty() {
        for warning in result.validation_warnings() {
            if refused(warning) {
                found.push(impossible(file, warning, start_of(warning.policy_id())));
            }
        }
    }
    found.sort();
    found.dedup_by(|a, b| (a.line, a.column) == (b.line, b.column));
    problems.extend(found);
}

/// A forbid that never applies protects nothing, and hidden characters deceive the auditor who reads the file. Names in
/// mixed scripts are a matter of taste.
fn refused(warning: &ValidationWarning) -> bool {
    matches!(
        warning,
        ValidationWarning::ImpossiblePolicy(_)
            | ValidationWarning::InvalidActionApplication(_)
            | ValidationWarning::BidiCharsInString(_)
            | ValidationWarning::BidiCharsInIdentifier(_)
    )
}

fn impossible(file: &PolicyFile, warning: &dyn Diagnostic, start: usize) -> Problem {
    Problem::from_diagnostic(&file.name, &file.text, warning, start)
}
