//! Which policies certainly do not apply to a request, found before Cedar is asked: evaluating a policy costs it microseconds,
//! and nearly all policies begin with a test that fails.
//!
//! A test here says yes, no, or nothing; nothing is also what it says of all it does not know. It follows Cedar's order of
//! evaluation, in which whatever comes first may fail and so make the whole an error: `a && b` is certainly false when `a` is,
//! or when `a` is certainly true and `b` certainly false. Policies were checked against the schema before, and requests are
//! checked before this, so types are as declared. A test in decide.rs holds the two against each other.

use std::collections::{BTreeSet, HashSet};

use cedar_policy::EntityUid;
use serde_json::Value as Json;

use crate::approvers::APPROVED_BY;
use crate::request::{Part, Request, Value};

/// What is tested.
pub(crate) struct View<'request> {
    pub(crate) request: &'request Request<'request>,
    pub(crate) part: &'request Part<'request>,
    pub(crate) approved_by: &'request BTreeSet<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Principal,
    Resource,
}

/// An entity in a policy, by type and id.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    kind: String,
    id: String,
}

/// A Boolean expression.
#[derive(Debug)]
pub(crate) enum Test {
    Unknown,
    Known(bool),
    Not(Box<Test>),
    And(Vec<Test>),
    Or(Box<Test>, Box<Test>),
    /// `context.x`
    Fact(String),
    Is(Subject, String),
    Equals(Subject, Named),
    /// `in` any of these.
    Within(Subject, Vec<Named>),
    Same(Scalar, Scalar),
    Empty(Texts),
    Contains(Texts, Scalar),
    ContainsAll(Texts, Texts),
    ContainsAny(Texts, Texts),
}

#[derive(Debug)]
pub(crate) enum Scalar {
    Text(String),
    Long(i64),
    Bool(bool),
    Context(String),
    Resource(String),
}

/// A set of texts.
#[derive(Debug)]
pub(crate) enum Texts {
    Literal(HashSet<String>),
    Context(String),
    ApprovedBy,
}

impl Test {
    /// Of a policy in Cedar's JSON form, for requests with one action, which is in the groups `within`.
    pub(crate) fn of_policy(json: &Json, within: &BTreeSet<&EntityUid>, action: &EntityUid) -> Self {
        let reader = Reader { within, action };
        let mut all = vec![
            scope(json.get("principal"), Subject::Principal),
            scope(json.get("resource"), Subject::Resource),
        ];
        for condition in json.get("conditions").and_then(Json::as_array).into_iter().flatten() {
            let body = condition.get("body").map_or(Self::Unknown, |body| reader.test(body));
            all.push(match condition.get("kind").and_then(Json::as_str) {
                Some("when") => body,
                Some("unless") => Self::Not(Box::new(body)),
                _ => Self::Unknown,
            });
        }
        Self::And(all)
    }

    pub(crate) fn evaluate(&self, view: &View<'_>) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Known(value) => Some(*value),
            Self::Not(test) => test.evaluate(view).map(|value| !value),
            Self::And(tests) => {
                for test in tests {
                    if !test.evaluate(view)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            Self::Or(left, right) => Some(left.evaluate(view)? || right.evaluate(view)?),
            Self::Fact(name) => match view.request.context.get(name.as_str())? {
                Value::Bool(value) => Some(*value),
                _ => None,
            },
            Self::Is(subject, kind) => Some(subject.named(view).0 == kind),
            Self::Equals(subject, other) => Some(subject.named(view) == (other.kind.as_str(), other.id.as_str())),
            Self::Within(subject, others) => Some(others.iter().any(|other| subject.is_within(view, other))),
            Self::Same(left, right) => left.same(right, view),
            Self::Empty(texts) => texts.len(view).map(|length| length == 0),
            Self::Contains(texts, element) => texts.contains(view, element.text(view)?),
            Self::ContainsAll(texts, others) => texts.quantify(view, others, true),
            Self::ContainsAny(texts, others) => texts.quantify(view, others, false),
        }
    }
}

impl Subject {
    fn named<'view>(self, view: &View<'view>) -> (&'view str, &'view str) {
        match self {
            Self::Principal => (&view.request.principal.kind, &view.request.principal.id),
            Self::Resource => (&view.part.resource.kind, &view.part.resource.id),
        }
    }

    fn is_within(self, view: &View<'_>, other: &Named) -> bool {
        self.named(view) == (other.kind.as_str(), other.id.as_str())
            || match self {
                Self::Principal => other.kind == "Group" && view.request.groups.iter().any(|group| *group == other.id),
                Self::Resource => view
                    .part
                    .resource
                    .parents
                    .iter()
                    .any(|parent| parent.kind == other.kind && parent.id == other.id),
            }
    }
}

impl Scalar {
    fn value<'view>(&self, view: &View<'view>) -> Option<&'view Value<'view>> {
        match self {
            Self::Context(name) => view.request.context.get(name.as_str()),
            Self::Resource(name) => view.part.resource.attrs.get(name.as_str()),
            Self::Text(_) | Self::Long(_) | Self::Bool(_) => None,
        }
    }

    fn text<'view>(&'view self, view: &View<'view>) -> Option<&'view str> {
        match (self, self.value(view)) {
            (Self::Text(text), _) => Some(text),
            (_, Some(Value::Text(text))) => Some(text),
            _ => None,
        }
    }

    fn long(&self, view: &View<'_>) -> Option<i64> {
        match (self, self.value(view)) {
            (Self::Long(value), _) | (_, Some(Value::Long(value))) => Some(*value),
            _ => None,
        }
    }

    fn bool(&self, view: &View<'_>) -> Option<bool> {
        match (self, self.value(view)) {
            (Self::Bool(value), _) | (_, Some(Value::Bool(value))) => Some(*value),
            _ => None,
        }
    }

    fn same(&self, other: &Self, view: &View<'_>) -> Option<bool> {
        if let (Some(left), Some(right)) = (self.text(view), other.text(view)) {
            return Some(left == right);
        }
        if let (Some(left), Some(right)) = (self.long(view), other.long(view)) {
            return Some(left == right);
        }
        Some(self.bool(view)? == other.bool(view)?)
    }
}

impl Texts {
    fn len(&self, view: &View<'_>) -> Option<usize> {
        match self {
            Self::Literal(texts) => Some(texts.len()),
            Self::ApprovedBy => Some(view.approved_by.len()),
            Self::Context(name) => view.request.context.get(name.as_str())?.set().map(<[_]>::len),
        }
    }

    fn contains(&self, view: &View<'_>, text: &str) -> Option<bool> {
        Some(match self {
            Self::Literal(texts) => texts.contains(text),
            Self::ApprovedBy => view.approved_by.contains(text),
            Self::Context(name) => view.request.context.get(name.as_str())?.set()?.iter().any(|one| one == text),
        })
    }

    /// Whether this has all of the others, or any.
    fn quantify(&self, view: &View<'_>, others: &Self, all: bool) -> Option<bool> {
        // Asked first, because there may be no others to ask about.
        self.len(view)?;
        let has = |text: &str| self.contains(view, text).unwrap_or(false);
        Some(match others {
            Self::Literal(texts) if all => texts.iter().all(|text| has(text)),
            Self::Literal(texts) => texts.iter().any(|text| has(text)),
            Self::ApprovedBy if all => view.approved_by.iter().all(|text| has(text)),
            Self::ApprovedBy => view.approved_by.iter().any(|text| has(text)),
            Self::Context(name) => {
                let mut texts = view.request.context.get(name.as_str())?.set()?.iter();
                if all {
                    texts.all(|text| has(text))
                } else {
                    texts.any(|text| has(text))
                }
            }
        })
    }
}

/// Reads expressions in Cedar's JSON form.
struct Reader<'schema> {
    within: &'schema BTreeSet<&'schema EntityUid>,
    action: &'schema EntityUid,
}

impl Reader<'_> {
    fn test(&self, json: &Json) -> Test {
        self.known(json).unwrap_or(Test::Unknown)
    }

    fn known(&self, json: &Json) -> Option<Test> {
        let members = json.as_object().filter(|members| members.len() == 1)?;
        let (operator, operands) = members.iter().next()?;
        let (left, right) = (operands.get("left"), operands.get("right"));
        Some(match operator.as_str() {
            "Value" => Test::Known(operands.as_bool()?),
            "!" => Test::Not(Box::new(self.test(operands.get("arg")?))),
            "&&" => Test::And(vec![self.test(left?), self.test(right?)]),
            "||" => Test::Or(Box::new(self.test(left?)), Box::new(self.test(right?))),
            "." => match scalar(json)? {
                Scalar::Context(name) => Test::Fact(name),
                _ => return None,
            },
            "is" if operands.get("in").is_none() => Test::Is(subject(left?)?, operands.get("entity_type")?.as_str()?.to_owned()),
            "in" => self.within(left?, right?)?,
            "==" => self.equal(left?, right?)?,
            "!=" => Test::Not(Box::new(self.equal(left?, right?)?)),
            "isEmpty" => Test::Empty(texts(operands.get("arg")?)?),
            "contains" => Test::Contains(texts(left?)?, scalar(right?)?),
            "containsAll" => Test::ContainsAll(texts(left?)?, texts(right?)?),
            "containsAny" => Test::ContainsAny(texts(left?)?, texts(right?)?),
            _ => return None,
        })
    }

    fn within(&self, left: &Json, right: &Json) -> Option<Test> {
        let named = match right.get("Set").and_then(Json::as_array) {
            Some(items) => items.iter().map(named).collect::<Option<Vec<_>>>()?,
            None => vec![named(right)?],
        };
        if is_action(left) {
            let is_group = |group: &&&EntityUid| named.iter().any(|named| is(group, named));
            return Some(Test::Known(self.within.iter().find(is_group).is_some()));
        }
        Some(Test::Within(subject(left)?, named))
    }

    fn equal(&self, left: &Json, right: &Json) -> Option<Test> {
        if let Some(other) = named(right) {
            return if is_action(left) {
                Some(Test::Known(is(self.action, &other)))
            } else {
                Some(Test::Equals(subject(left)?, other))
            };
        }
        Some(Test::Same(scalar(left)?, scalar(right)?))
    }
}

fn scope(json: Option<&Json>, subject: Subject) -> Test {
    let read = |json: &Json| {
        let kind = || json.get("entity_type").and_then(Json::as_str).map(str::to_owned);
        Some(match json.get("op")?.as_str()? {
            "All" => Test::Known(true),
            "==" => Test::Equals(subject, reference(json.get("entity")?)?),
            "in" => Test::Within(subject, vec![reference(json.get("entity")?)?]),
            "is" => match json.get("in") {
                None => Test::Is(subject, kind()?),
                Some(within) => Test::And(vec![
                    Test::Is(subject, kind()?),
                    Test::Within(subject, vec![reference(within.get("entity")?)?]),
                ]),
            },
            _ => return None,
        })
    };
    json.and_then(read).unwrap_or(Test::Unknown)
}

fn is(uid: &EntityUid, named: &Named) -> bool {
    uid.id().unescaped() == named.id && uid.type_name().to_string() == named.kind
}

fn is_action(json: &Json) -> bool {
    json.get("Var").and_then(Json::as_str) == Some("action")
}

fn subject(json: &Json) -> Option<Subject> {
    match json.get("Var")?.as_str()? {
        "principal" => Some(Subject::Principal),
        "resource" => Some(Subject::Resource),
        _ => None,
    }
}

/// An entity as a literal.
fn named(json: &Json) -> Option<Named> {
    reference(json.get("Value")?.get("__entity")?)
}

fn reference(json: &Json) -> Option<Named> {
    Some(Named {
        kind: json.get("type")?.as_str()?.to_owned(),
        id: json.get("id")?.as_str()?.to_owned(),
    })
}

fn scalar(json: &Json) -> Option<Scalar> {
    if let Some(access) = json.get(".") {
        let name = access.get("attr")?.as_str()?.to_owned();
        return match access.get("left")?.get("Var")?.as_str()? {
            "context" if name != APPROVED_BY => Some(Scalar::Context(name)),
            "resource" => Some(Scalar::Resource(name)),
            _ => None,
        };
    }
    match json.get("Value")? {
        Json::String(text) => Some(Scalar::Text(text.clone())),
        Json::Bool(value) => Some(Scalar::Bool(*value)),
        Json::Number(number) => number.as_i64().map(Scalar::Long),
        _ => None,
    }
}

fn texts(json: &Json) -> Option<Texts> {
    if let Some(items) = json.get("Set").and_then(Json::as_array) {
        let text = |item: &Json| item.get("Value").and_then(Json::as_str).map(str::to_owned);
        return items.iter().map(text).collect::<Option<HashSet<_>>>().map(Texts::Literal);
    }
    let access = json.get(".")?;
    let name = access.get("attr")?.as_str()?;
    if access.get("left")?.get("Var")?.as_str()? != "context" {
        return None;
    }
    Some(if name == APPROVED_BY {
        Texts::ApprovedBy
    } else {
        Texts::Context(name.to_owned())
    })
}
