//! Compiling and deciding through the public interface.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sluice_policy::{Answer, Kind, Policies, PolicyFile, Request, Spec};

const SCHEMA: &str = r#"
entity Group;
entity User in [Group];
entity Service in [Group];
entity Resource;
entity Schema in [Resource];
entity Table in [Schema, Resource] { "schema": String };
type Facts = { "size": Long, "names": Set<String>, "hasWhere": Bool, "approvedBy": Set<String> };
action "read";
action "select" in [Action::"read"] appliesTo { principal: [User, Service], resource: [Resource, Table], context: Facts };
action "update" appliesTo { principal: [User, Service], resource: [Resource, Table], context: Facts };
"#;

fn compile(texts: &[&str]) -> Result<Policies, String> {
    compile_knowing(texts, None)
}

fn compile_knowing(texts: &[&str], resources: Option<&[&str]>) -> Result<Policies, String> {
    let files = texts
        .iter()
        .enumerate()
        .map(|(i, text)| PolicyFile {
            name: format!("{i}.cedar"),
            text: (*text).to_owned(),
        })
        .collect();
    Policies::compile(&Spec {
        schema: SCHEMA.to_owned(),
        files,
        resources: resources.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
    })
    .map_err(|error| error.to_string())
}

fn problems(texts: &[&str]) -> Vec<String> {
    compile(texts).expect_err("must not compile").lines().map(str::to_owned).collect()
}

/// Asks for the actions, each on the same table, with what was approved.
fn ask(actions: &[&str], context: &str, approved: &[&str]) -> Request<'static> {
    let parts: Vec<String> = actions
        .iter()
        .map(|action| {
            format!(
                r#"{{"action":"{action}","resource":{{"type":"Table","id":"payments/public.cards","parents":
        [{{"type":"Schema","id":"payments/public"}},{{"type":"Resource","id":"payments"}}],"attrs":{{"schema":"public"}}}}}}"#
            )
        })
        .collect();
    let text = format!(
        r#"{{"principal":{{"type":"User","id":"dev1"}},"groups":["analysts"],"context":{context},"approvedBy":{approved:?},"parts":[{}]}}"#,
        parts.join(",")
    );
    serde_json::from_str(text.leak()).unwrap()
}

fn request(action: &str, context: &str) -> Request<'static> {
    ask(&[action], context, &[])
}

const FACTS: &str = r#"{"size":1,"names":["a","b"],"hasWhere":false}"#;

fn answer(allow: bool, policies: &[&str]) -> Answer {
    Answer {
        kind: if allow { Kind::Allow } else { Kind::Deny },
        policies: policies.iter().map(|id| (*id).to_owned()).collect(),
        part: 0,
        approvers: Vec::new(),
        errors: Vec::new(),
    }
}

#[test]
fn permits_and_forbids_decide_by_their_ids() {
    let policies = compile(&[
        r#"@id("read") permit(principal in Group::"analysts", action in Action::"read", resource in Schema::"payments/public");"#,
        r#"@id("write") permit(principal, action == Action::"update", resource);
           @id("where") @hint("add WHERE") forbid(principal, action == Action::"update", resource) unless { context.hasWhere };"#,
    ])
    .unwrap();
    assert_eq!(policies.decide(&request("select", FACTS)), answer(true, &["read"]));
    assert_eq!(policies.decide(&request("update", FACTS)), answer(false, &["where"]));
    let summaries: Vec<_> = policies
        .summaries()
        .iter()
        .map(|p| (p.id.as_str(), p.effect, p.line, p.hint.as_str()))
        .collect();
    assert_eq!(
        summaries,
        [
            ("read", "permit", 1, ""),
            ("write", "permit", 1, ""),
            ("where", "forbid", 2, "add WHERE")
        ]
    );
}

#[test]
fn what_no_policy_permits_is_denied_by_none() {
    let policies = compile(&[r#"@id("s") permit(principal is Service, action, resource);"#]).unwrap();
    assert_eq!(policies.decide(&request("select", FACTS)), answer(false, &[]));
    assert_eq!(compile(&[]).unwrap().decide(&request("select", FACTS)), answer(false, &[]));
}

#[test]
fn an_evaluation_error_is_a_denial() {
    // Cedar alone would skip the forbid that overflows and allow.
    let policies = compile(&[r#"@id("all") permit(principal, action, resource);
           @id("sum") forbid(principal, action, resource) when { context.size + 9223372036854775807 > 5 };"#])
    .unwrap();
    let answer = policies.decide(&request("select", FACTS));
    assert_eq!(answer.kind, Kind::Deny);
    assert_eq!(answer.errors.len(), 1);
}

#[test]
fn a_request_outside_the_schema_is_a_denial() {
    let policies = compile(&[r#"@id("all") permit(principal, action, resource);"#]).unwrap();
    assert_eq!(policies.decide(&request("select", FACTS)).kind, Kind::Allow);
    for (action, context) in [
        ("selekt", FACTS),
        ("read", FACTS),
        ("select", "{}"),
        ("select", r#"{"size":"1","names":[],"hasWhere":true}"#),
        ("select", r#"{"size":1,"names":[],"hasWhere":true,"more":1}"#),
    ] {
        let answer = policies.decide(&request(action, context));
        assert!(answer.kind == Kind::Deny && answer.errors.len() == 1, "{action} {context}");
    }
}

#[test]
fn every_problem_is_one_line_with_its_place() {
    let found = problems(&[
        "// a comment\n@id(\"a\") permit(principal, action == Action::\"selct\", resource);",
        "@id(\"b\")\nforbid(principal, action, resource)\n  when { context.hasWere };",
        "@id(\"c\") permit(principal in Grup::\"x\", action, resource);",
        "@id(\"d\") permit(principal, action resource);",
        "@id(\"e\") forbid(principal, action, resource) when { resource is Table && resource.shema == \"x\" };",
    ]);
    let expected = [
        ("0.cedar:2:38: ", "did you mean `Action::\"select\"`?"),
        ("1.cedar:3:10: ", "did you mean `hasWhere`?"),
        ("2.cedar:1:30: ", "did you mean `Group`?"),
        ("3.cedar:1:35: ", "expected"),
        ("4.cedar:1:74: ", "did you mean `schema`?"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, (start, part)) in found.iter().zip(expected) {
        assert!(line.starts_with(start) && line.contains(part), "{line} is not {start}...{part}");
    }
}

#[test]
fn ids_are_required_unique_and_plain() {
    assert_eq!(
        problems(&["permit(principal, action, resource);"]),
        ["0.cedar:1:1: the policy has no id; write @id(\"a-name\") before it"]
    );
    let twice = problems(&[
        "@id(\"a\") permit(principal, action, resource);",
        "\n@id(\"a\") permit(principal, action, resource);",
    ]);
    assert_eq!(
        twice,
        ["1.cedar:2:1: the policy id \"a\" is taken by the policy at 0.cedar:1; write another @id"]
    );
    let within = problems(&["@id(\"a\") permit(principal, action, resource);@id(\"a\") forbid(principal, action, resource);"]);
    assert_eq!(within.len(), 1);
    assert!(problems(&["@id(\"a b\") permit(principal, action, resource);"])[0].contains("is not usable"));
    // An id that looks like one the parser makes up for policies without.
    assert_eq!(
        problems(&["permit(principal, action, resource); @id(\"policy0\") permit(principal, action, resource);"]).len(),
        1
    );
}

#[test]
fn what_would_be_ignored_is_refused() {
    assert!(
        problems(&["@id(\"a\") @hnit(\"x\") permit(principal, action, resource);"])[0].contains("unknown annotation @hnit; write @hint")
    );
    assert!(problems(&["@id(\"a\") permit(principal == ?principal, action, resource);"])[0].contains("template"));
    // A forbid that can never apply protects nothing.
    assert!(problems(&["@id(\"a\") forbid(principal, action, resource is User);"])[0].starts_with("0.cedar:1:1: "));
    assert!(problems(&["@id(\"a\") forbid(principal, action, resource) when { context.size == \"x\" };"])[0].contains("Long"));
    // Text that an editor shows in another order than it is read.
    assert!(!problems(&["@id(\"a\") forbid(principal == User::\"x\u{202e}y\", action, resource);"]).is_empty());
}

#[test]
fn a_broken_schema_is_reported_as_such() {
    let error = Policies::compile(&Spec {
        schema: "entity User in [Nowhere];".into(),
        files: vec![],
        resources: None,
    })
    .expect_err("must not compile");
    assert!(error.to_string().starts_with("schema:1:"), "{error}");
}

const PERMIT: &str = r#"@id("all") permit(principal, action, resource);"#;

/// `name:needed` of each approver.
fn asked(answer: &Answer) -> Vec<String> {
    answer
        .approvers
        .iter()
        .map(|approver| format!("{}:{}", approver.group, approver.needed))
        .collect()
}

#[test]
fn a_forbid_with_approvers_asks_for_them() {
    let policies = compile(&[
        PERMIT,
        r#"@id("where") @approvers("dba") forbid(principal, action == Action::"update", resource)
           unless { context.hasWhere || context.approvedBy.contains("dba") };"#,
    ])
    .unwrap();
    let answer = policies.decide(&ask(&["update"], FACTS, &[]));
    assert_eq!((answer.kind, asked(&answer)), (Kind::Approve, vec!["dba:1".to_owned()]));
    assert_eq!(answer.policies, ["where"]);
    let with_where = r#"{"size":1,"names":[],"hasWhere":true}"#;
    assert_eq!(policies.decide(&ask(&["update"], with_where, &[])).kind, Kind::Allow);
    assert_eq!(policies.decide(&ask(&["update"], FACTS, &["dba"])).kind, Kind::Allow);
    assert_eq!(policies.decide(&ask(&["update"], FACTS, &["security"])).kind, Kind::Approve);
}

#[test]
fn approvers_of_all_forbids_and_parts_are_united() {
    let policies = compile(&[
        PERMIT,
        r#"@id("a") @approvers("dba, security:2") forbid(principal, action == Action::"update", resource)
           unless { context.approvedBy.containsAll(["security", "dba"]) };
           @id("b") @approvers("dba:3") forbid(principal, action, resource) when { context.size > 0 } unless { context.approvedBy.contains("dba") };"#,
    ])
    .unwrap();
    let answer = policies.decide(&ask(&["select", "update"], FACTS, &[]));
    assert_eq!(answer.kind, Kind::Approve);
    assert_eq!(asked(&answer), ["dba:3", "security:2"]);
    assert_eq!(answer.policies, ["b", "a"]);
    let rest = policies.decide(&ask(&["update"], FACTS, &["dba"]));
    assert_eq!((rest.kind, rest.policies), (Kind::Approve, vec!["a".to_owned()]));
}

#[test]
fn what_no_approval_lifts_is_a_denial() {
    let asking = r#"@id("ask") @approvers("dba") forbid(principal, action, resource) unless { context.approvedBy.contains("dba") };"#;
    let never = r#"@id("never") forbid(principal, action == Action::"update", resource);"#;
    // Nothing permits it: approvers are not asked in vain.
    assert_eq!(
        compile(&[asking]).unwrap().decide(&ask(&["select"], FACTS, &[])),
        answer(false, &[])
    );
    let policies = compile(&[PERMIT, asking, never]).unwrap();
    let mixed = policies.decide(&ask(&["select", "update"], FACTS, &[]));
    assert_eq!((mixed.kind, mixed.part), (Kind::Deny, 1));
    assert!(mixed.policies.contains(&"never".to_owned()) && mixed.approvers.is_empty());
    let overflow = r#"@id("sum") forbid(principal, action, resource) when { context.size + 9223372036854775807 > 5 };"#;
    let broken = compile(&[PERMIT, asking, overflow]).unwrap();
    assert_eq!(broken.decide(&ask(&["select"], FACTS, &[])).kind, Kind::Deny);
}

#[test]
fn an_annotation_that_the_condition_does_not_match_is_refused() {
    let head = "forbid(principal, action, resource)";
    for (policy, place, part) in [
        (
            r#"@approvers("dba") permit(principal, action, resource);"#.to_owned(),
            "1:10",
            "before a permit",
        ),
        (format!(r#"@approvers("dba") {head};"#), "1:10", "does not look at its approval"),
        (
            format!(r#"@approvers("dba,") {head} unless {{ context.approvedBy.contains("dba") }};"#),
            "1:10",
            "not a list of groups",
        ),
        (
            format!(r#"@approvers("dba:0") {head} unless {{ context.approvedBy.contains("dba") }};"#),
            "1:10",
            "not a list",
        ),
        (
            format!(r#"@approvers("dba, dba:2") {head} unless {{ context.approvedBy.contains("dba") }};"#),
            "1:10",
            "not a list",
        ),
        (
            format!(r#"{head} unless {{ context.approvedBy.contains("dba") }};"#),
            "1:63",
            "has no @approvers",
        ),
        (
            r#"permit(principal, action, resource) when { context.approvedBy.contains("dba") };"#.to_owned(),
            "1:61",
            "has no @approvers",
        ),
        (
            format!(r#"@approvers("dba") {head} unless {{ context.approvedBy.containsAll(["dba", "x"]) }};"#),
            "1:81",
            "\"x\", which @approvers does not name",
        ),
        (
            format!(r#"@approvers("dba, x") {head} unless {{ context.approvedBy.contains("dba") }};"#),
            "1:10",
            "names \"x\"",
        ),
        (
            format!(r#"@approvers("dba, x") {head} unless {{ context.approvedBy.contains("dba") || context.approvedBy.contains("x") }};"#),
            "1:84",
            "lifted without the approval of",
        ),
        (
            format!(r#"@approvers("dba") {head} unless {{ context.hasWhere && context.approvedBy.contains("dba") }};"#),
            "1:101",
            "may apply even when \"dba\" approved",
        ),
        (
            format!(r#"@approvers("dba") {head} when {{ context.approvedBy.contains("dba") }};"#),
            "1:79",
            "may apply even when",
        ),
        (
            format!(r#"@approvers("dba") {head} unless {{ context.approvedBy.containsAny(["dba"]) }};"#),
            "1:81",
            "cannot be checked",
        ),
        (
            format!(r#"@approvers("dba") {head} unless {{ context.approvedBy == ["dba"] }};"#),
            "1:81",
            "cannot be checked",
        ),
    ] {
        let found = problems(&[&format!("@id(\"a\") {policy}")]);
        assert_eq!(found.len(), 1, "{policy}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("0.cedar:{place}: ")) && found[0].contains(part),
            "{policy}\n{found:#?}"
        );
    }
}

#[test]
fn conditions_that_match_their_annotation_in_other_words() {
    for (approvers, condition) in [
        ("dba", r#"when { !context.approvedBy.contains("dba") && context.size > 1 }"#),
        (
            "dba",
            r#"when { context.size > 1 } unless { context.approvedBy.containsAll(["dba"]) }"#,
        ),
        (
            "dba, payments/owners:2",
            r#"unless { context.hasWhere || (context.approvedBy.contains("dba") && context.approvedBy.contains("payments/owners")) }"#,
        ),
        (
            "a,b",
            r#"when { if context.hasWhere then !context.approvedBy.contains("a") || !context.approvedBy.contains("b") else !context.approvedBy.containsAll(["b", "a"]) }"#,
        ),
    ] {
        let text = format!(r#"@id("x") @approvers("{approvers}") forbid(principal, action, resource) {condition};"#);
        let policies = compile(&[&text]).unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert!(!policies.summaries()[0].approvers.is_empty());
    }
}

#[test]
fn policies_name_resources_that_exist() {
    let text = r#"@id("a") permit(principal in Group::"nowhere", action, resource in Resource::"paymnets");
@id("b") forbid(principal, action, resource) when { resource in Schema::"warehouse/public" };
@id("c") forbid(principal, action, resource == Table::"payments/public.cards");"#;
    assert!(compile(&[text]).is_ok());
    let error = compile_knowing(&[text], Some(&["payments", "ledger"])).expect_err("two are unknown");
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            r#"0.cedar:1:68: Resource::"paymnets": there is no resource "paymnets"; did you mean "payments"?"#,
            r#"0.cedar:2:65: Schema::"warehouse/public": there is no resource "warehouse"; the configuration has: payments, ledger"#,
        ]
    );
}
