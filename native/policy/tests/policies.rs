//! Compiling and deciding through the public interface.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use sluice_policy::{Answer, Policies, PolicyFile, Request, Spec};

const SCHEMA: &str = r#"
entity Group;
entity User in [Group];
entity Service in [Group];
entity Resource;
entity Schema in [Resource];
entity Table in [Schema, Resource] { "schema": String };
type Facts = { "size": Long, "names": Set<String>, "hasWhere": Bool };
action "read";
action "select" in [Action::"read"] appliesTo { principal: [User, Service], resource: [Resource, Table], context: Facts };
action "update" appliesTo { principal: [User, Service], resource: [Resource, Table], context: Facts };
"#;

fn compile(texts: &[&str]) -> Result<Policies, String> {
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
    })
    .map_err(|error| error.to_string())
}

fn problems(texts: &[&str]) -> Vec<String> {
    compile(texts).expect_err("must not compile").lines().map(str::to_owned).collect()
}

fn request(action: &str, context: &str) -> Request {
    let text = format!(
        r#"{{"principal":{{"type":"User","id":"dev1"}},"groups":["analysts"],"action":"{action}",
        "resource":{{"type":"Table","id":"payments/public.cards","parents":[{{"type":"Schema","id":"payments/public"}},
        {{"type":"Resource","id":"payments"}}],"attrs":{{"schema":"public"}}}},"context":{context}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

const FACTS: &str = r#"{"size":1,"names":["a","b"],"hasWhere":false}"#;

fn answer(allow: bool, policies: &[&str]) -> Answer {
    Answer {
        allow,
        policies: policies.iter().map(|id| (*id).to_owned()).collect(),
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
    assert_eq!(policies.decide(request("select", FACTS)), answer(true, &["read"]));
    assert_eq!(policies.decide(request("update", FACTS)), answer(false, &["where"]));
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
    assert_eq!(policies.decide(request("select", FACTS)), answer(false, &[]));
    assert_eq!(compile(&[]).unwrap().decide(request("select", FACTS)), answer(false, &[]));
}

#[test]
fn an_evaluation_error_is_a_denial() {
    // Cedar alone would skip the forbid that overflows and allow.
    let policies = compile(&[r#"@id("all") permit(principal, action, resource);
           @id("sum") forbid(principal, action, resource) when { context.size + 9223372036854775807 > 5 };"#])
    .unwrap();
    let answer = policies.decide(request("select", FACTS));
    assert!(!answer.allow);
    assert_eq!(answer.errors.len(), 1);
}

#[test]
fn a_request_outside_the_schema_is_a_denial() {
    let policies = compile(&[r#"@id("all") permit(principal, action, resource);"#]).unwrap();
    assert!(policies.decide(request("select", FACTS)).allow);
    for (action, context) in [
        ("selekt", FACTS),
        ("read", FACTS),
        ("select", "{}"),
        ("select", r#"{"size":"1","names":[],"hasWhere":true}"#),
        ("select", r#"{"size":1,"names":[],"hasWhere":true,"more":1}"#),
    ] {
        let answer = policies.decide(request(action, context));
        assert!(!answer.allow && answer.errors.len() == 1, "{action} {context}");
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
    })
    .expect_err("must not compile");
    assert!(error.to_string().starts_with("schema:1:"), "{error}");
}
