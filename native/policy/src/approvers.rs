//! `@approvers`: how a forbid asks for approval, and whether its condition keeps to what it asks for.
//!
//! The annotation is what approvers and clients are told; the condition is what decides. They must agree, or an approval
//! would be asked for in vain, or lift what nobody approved. So the condition is evaluated here with three values: what it
//! says of `context.approvedBy` is known, the rest is not.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// The set of groups that have approved, in the context of every request.
pub(crate) const APPROVED_BY: &str = "approvedBy";

/// The most members of one group that a policy can ask for.
const MOST: u32 = 99;

/// A group that has to approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApproverGroup {
    /// Name of the group.
    pub group: String,
    /// How many of its members.
    pub needed: u32,
}

/// What is wrong with a policy's use of approvals.
pub(crate) struct Flaw {
    /// Text in the policy that it is about.
    pub(crate) at: &'static str,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Flaw {
    fn annotation(message: &str, hint: &str) -> Self {
        Self {
            at: "@approvers",
            message: message.to_owned(),
            hint: hint.to_owned(),
        }
    }

    /// The policy itself has no JSON form.
    pub(crate) fn unreadable(why: &str) -> Self {
        Self {
            at: "",
            message: format!("the policy cannot be examined: {why}"),
            hint: "write it in simpler terms".to_owned(),
        }
    }

    fn condition(message: String, hint: String) -> Self {
        Self {
            at: APPROVED_BY,
            message,
            hint,
        }
    }
}

/// The approvers a policy asks for, empty when it asks for none. `json` is the policy in Cedar's JSON form.
pub(crate) fn read(annotation: Option<&str>, forbid: bool, json: &Value) -> Result<Vec<ApproverGroup>, Flaw> {
    let consulted = Consulted::of(json)?;
    let Some(text) = annotation else {
        return match consulted.groups.first() {
            None => Ok(Vec::new()),
            Some(group) => Err(Flaw::condition(
                format!("the condition looks at approvals by \"{group}\", but the policy has no @approvers"),
                "write @approvers(\"...\") with the groups before a forbid; a permit cannot ask for approval".to_owned(),
            )),
        };
    };
    if !forbid {
        return Err(Flaw::annotation(
            "@approvers stands before a permit",
            "write it before the forbid that an approval lifts",
        ));
    }
    let approvers = parse(text).ok_or_else(|| {
        Flaw::annotation(
            &format!("@approvers {text:?} is not a list of groups"),
            "write groups with commas between them, and how many members have to approve where it is not one, e.g. \"dba, security:2\"",
        )
    })?;
    let named: BTreeSet<&str> = approvers.iter().map(|one| one.group.as_str()).collect();
    if let Some(group) = consulted.groups.iter().find(|group| !named.contains(group.as_str())) {
        return Err(Flaw::condition(
            format!("the condition looks at approvals by \"{group}\", which @approvers does not name"),
            "name in @approvers exactly the groups of the condition".to_owned(),
        ));
    }
    for group in &named {
        if !consulted.groups.contains(*group) {
            return Err(Flaw::annotation(
                &format!("@approvers names \"{group}\", but the condition does not look at its approval"),
                &format!("add unless {{ context.approvedBy.contains(\"{group}\") }}"),
            ));
        }
    }
    check(json, &named)?;
    Ok(approvers)
}

/// `dba, security:2`. None when malformed.
fn parse(text: &str) -> Option<Vec<ApproverGroup>> {
    let mut approvers: Vec<ApproverGroup> = Vec::new();
    for part in text.split(',') {
        let (group, needed) = match part.rsplit_once(':') {
            None => (part.trim(), 1),
            Some((group, needed)) => (group.trim(), needed.trim().parse().ok()?),
        };
        let plain = !group.is_empty() && !group.chars().any(|c| c.is_control() || c.is_whitespace() || c == ':');
        if !plain || needed == 0 || needed > MOST || approvers.iter().any(|other| other.group == group) {
            return None;
        }
        approvers.push(ApproverGroup {
            group: group.to_owned(),
            needed,
        });
    }
    Some(approvers)
}

/// Applies without any one of the approvals, and never with all of them.
fn check(json: &Value, groups: &BTreeSet<&str>) -> Result<(), Flaw> {
    let list = |groups: &BTreeSet<&str>| groups.iter().map(|group| format!("\"{group}\"")).collect::<Vec<_>>().join(" and ");
    if applies(json, groups) != Some(false) {
        return Err(Flaw::condition(
            format!("the forbid may apply even when {} approved", list(groups)),
            "write unless { context.approvedBy.contains(\"...\") }, with the rest of the condition in when { ... }".to_owned(),
        ));
    }
    for missing in groups {
        let mut others = groups.clone();
        others.remove(missing);
        if applies(json, &others) == Some(false) {
            return Err(Flaw::condition(
                format!("the condition is lifted without the approval of \"{missing}\""),
                format!("ask for all: unless {{ context.approvedBy.containsAll([...]) }}, or take \"{missing}\" out of @approvers"),
            ));
        }
    }
    Ok(())
}

/// Whether the conditions hold with these approvals; None: that depends on the rest of the request.
fn applies(json: &Value, approved: &BTreeSet<&str>) -> Option<bool> {
    let mut so_far = Some(true);
    for condition in json.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        let body = condition.get("body").and_then(|body| truth(body, approved));
        let unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
        so_far = and(so_far, if unless { body.map(|value| !value) } else { body });
    }
    so_far
}

/// The value of a Boolean expression as far as approvals decide it.
fn truth(expression: &Value, approved: &BTreeSet<&str>) -> Option<bool> {
    if let Some(test) = ApprovalTest::of(expression) {
        return Some(test.groups.iter().all(|group| approved.contains(group)));
    }
    let (operator, operands) = expression.as_object()?.iter().next()?;
    let operand = |name: &str| operands.get(name).and_then(|operand| truth(operand, approved));
    match operator.as_str() {
        "Value" => operands.as_bool(),
        "!" => operand("arg").map(|value| !value),
        "&&" => and(operand("left"), operand("right")),
        "||" => and(operand("left").map(|value| !value), operand("right").map(|value| !value)).map(|value| !value),
        "if-then-else" => match operand("if") {
            Some(true) => operand("then"),
            Some(false) => operand("else"),
            None if operand("then") == operand("else") => operand("then"),
            None => None,
        },
        _ => None,
    }
}

fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// `context.approvedBy.contains("a")` or `context.approvedBy.containsAll(["a", "b"])`.
struct ApprovalTest<'json> {
    groups: Vec<&'json str>,
}

impl<'json> ApprovalTest<'json> {
    fn of(expression: &'json Value) -> Option<Self> {
        let literal = |value: &'json Value| value.get("Value").and_then(Value::as_str);
        let looks = |operands: &Value| {
            let access = operands.get("left").and_then(|left| left.get("."));
            access.is_some_and(|access| {
                access.get("attr").and_then(Value::as_str) == Some(APPROVED_BY)
                    && access.get("left").and_then(|left| left.get("Var")).and_then(Value::as_str) == Some("context")
            })
        };
        if let Some(operands) = expression.get("contains").filter(|operands| looks(operands)) {
            return Some(Self {
                groups: vec![literal(operands.get("right")?)?],
            });
        }
        let operands = expression.get("containsAll").filter(|operands| looks(operands))?;
        let set = operands.get("right")?.get("Set")?.as_array()?;
        let groups = set.iter().map(literal).collect::<Option<Vec<_>>>()?;
        // All of none is always true.
        (!groups.is_empty()).then_some(Self { groups })
    }
}

/// Every group whose approval the conditions look at.
struct Consulted {
    groups: BTreeSet<String>,
}

impl Consulted {
    fn of(json: &Value) -> Result<Self, Flaw> {
        let mut consulted = Self { groups: BTreeSet::new() };
        if let Some(conditions) = json.get("conditions") {
            consulted.visit(conditions)?;
        }
        Ok(consulted)
    }

    fn visit(&mut self, node: &Value) -> Result<(), Flaw> {
        if let Some(test) = ApprovalTest::of(node) {
            self.groups.extend(test.groups.iter().map(|group| (*group).to_owned()));
            return Ok(());
        }
        match node {
            Value::Array(items) => items.iter().try_for_each(|item| self.visit(item)),
            Value::Object(members) => {
                if members.get("attr").and_then(Value::as_str) == Some(APPROVED_BY) {
                    return Err(Flaw::condition(
                        "context.approvedBy is used in a way that cannot be checked".to_owned(),
                        "write context.approvedBy.contains(\"group\") or .containsAll([\"group\", ...]) with the names as text".to_owned(),
                    ));
                }
                members.values().try_for_each(|member| self.visit(member))
            }
            _ => Ok(()),
        }
    }
}
