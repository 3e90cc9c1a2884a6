//! Leaving out policies that do not apply changes no decision: random policies and requests, decided with and without.

#![expect(clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;

use crate::compile::{Policies, PolicyFile, Spec};
use crate::request::Request;

const SCHEMA: &str = r#"
entity Group;
entity User in [Group];
entity Service in [Group];
entity Resource;
entity Schema in [Resource];
entity Table in [Schema, Resource] { "schema": String, "name": String };
type Facts = { "size": Long, "names": Set<String>, "others": Set<String>, "safe": Bool, "via": String, "approvedBy": Set<String> };
action "read";
action "write";
action "select" in [Action::"read"] appliesTo { principal: [User, Service], resource: [Resource, Table], context: Facts };
action "update" in [Action::"write"] appliesTo { principal: [User, Service], resource: [Resource, Table], context: Facts };
"#;

/// Conditions that stand alone. Those on the right side of `resource is Table &&` below may look at its attributes.
const ATOMS: [&str; 32] = [
    "true",
    "false",
    "context.safe",
    "context.names.isEmpty()",
    "context.names.contains(\"a\")",
    "context.names.contains(context.via)",
    "context.names.containsAll([\"a\", \"b\"])",
    "context.names.containsAny(context.others)",
    "context.others.containsAll(context.names)",
    "[\"a\", \"c\"].containsAny(context.names)",
    "[\"web\", \"cli\"].contains(context.via)",
    "context.via == \"web\"",
    "context.via != \"web\"",
    "context.via like \"w*\"",
    "context.size == 1",
    "context.size < 2",
    "context.safe == true",
    "context.names == context.others",
    "context.names == [\"a\"]",
    // An error for most sizes.
    "context.size + 9223372036854775806 > 5",
    "principal is User",
    "principal is User in Group::\"g1\"",
    "principal == User::\"u1\"",
    "principal != User::\"u1\"",
    "principal in Group::\"g1\"",
    "principal in [Group::\"g1\", Group::\"g2\"]",
    "principal in User::\"u1\"",
    "resource in Schema::\"r/s\"",
    "resource == Resource::\"r\"",
    "action == Action::\"select\"",
    "action in Action::\"write\"",
    "action in [Action::\"read\", Action::\"update\"]",
];
const OF_TABLES: [&str; 4] = [
    "resource.schema == \"s\"",
    "[\"t\", \"u\"].contains(resource.name)",
    "resource.name == context.via",
    "resource.schema != resource.name",
];
const PRINCIPALS: [&str; 5] = [
    "principal",
    "principal == User::\"u1\"",
    "principal in Group::\"g2\"",
    "principal is Service",
    "principal is User in Group::\"g1\"",
];
const ACTIONS: [&str; 4] = [
    "action",
    "action == Action::\"select\"",
    "action in Action::\"write\"",
    "action in [Action::\"read\", Action::\"update\"]",
];
const RESOURCES: [&str; 5] = [
    "resource",
    "resource == Table::\"r/s.t\"",
    "resource in Resource::\"r\"",
    "resource is Table",
    "resource is Table in Schema::\"r/s\"",
];

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len())).copied().unwrap_or("true")
    }

    fn texts(&mut self, from: &[&str]) -> String {
        let chosen: Vec<String> = from
            .iter()
            .filter(|_| self.below(2) == 0)
            .map(|text| format!("\"{text}\""))
            .collect();
        format!("[{}]", chosen.join(","))
    }

    fn condition(&mut self, depth: usize) -> String {
        match if depth == 0 { 9 } else { self.below(10) } {
            0 | 1 => format!("({} && {})", self.condition(depth - 1), self.condition(depth - 1)),
            2 | 3 => format!("({} || {})", self.condition(depth - 1), self.condition(depth - 1)),
            4 => format!("!({})", self.condition(depth - 1)),
            5 => format!(
                "(if {} then {} else {})",
                self.condition(depth - 1),
                self.condition(depth - 1),
                self.condition(depth - 1)
            ),
            6 => format!("(resource is Table && {})", self.pick(&OF_TABLES)),
            _ => self.pick(&ATOMS).to_owned(),
        }
    }

    fn policy(&mut self, id: usize) -> String {
        let effect = self.pick(&["permit", "forbid"]);
        let (principal, action, resource) = (self.pick(&PRINCIPALS), self.pick(&ACTIONS), self.pick(&RESOURCES));
        let mut text = format!("@id(\"p{id}\") {effect}({principal}, {action}, {resource})");
        for _ in 0..self.below(3) {
            let (word, condition) = (self.pick(&["when", "unless"]), self.condition(3));
            text = format!("{text} {word} {{ {condition} }}");
        }
        text + ";\n"
    }

    fn request(&mut self) -> String {
        let resource = self.pick(&[
            r#"{"type":"Resource","id":"r"}"#,
            r#"{"type":"Table","id":"r/s.t","parents":[{"type":"Schema","id":"r/s"},{"type":"Resource","id":"r"}],"attrs":{"schema":"s","name":"t"}}"#,
            r#"{"type":"Table","id":"q/x.u","parents":[{"type":"Resource","id":"q"}],"attrs":{"schema":"","name":"u"}}"#,
        ]);
        format!(
            r#"{{"principal":{{"type":"{}","id":"{}"}},"groups":{},"context":{{"size":{},"names":{},"others":{},"safe":{},"via":"{}"}},"parts":[{{"action":"{}","resource":{resource}}}]}}"#,
            self.pick(&["User", "Service"]),
            self.pick(&["u1", "u2"]),
            self.texts(&["g1", "g2"]),
            self.below(3),
            self.texts(&["a", "b"]),
            self.texts(&["a", "c"]),
            self.below(2) == 0,
            self.pick(&["web", "cli", "t"]),
            self.pick(&["select", "update"]),
        )
    }
}

#[test]
fn decisions_are_those_of_cedar_alone() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut sets, mut left_out, mut decided, mut errors, mut allowed) = (0, 0, 0, 0, 0);
    while sets < 150 {
        let text: String = (0..6).map(|id| numbers.policy(id)).collect();
        // Many are impossible, and refused.
        let Ok(policies) = Policies::compile(&Spec {
            schema: SCHEMA.to_owned(),
            files: vec![PolicyFile {
                name: "x".to_owned(),
                text: text.clone(),
            }],
            resources: None,
        }) else {
            continue;
        };
        sets += 1;
        for _ in 0..60 {
            let wanted = numbers.request();
            let request: Request = serde_json::from_str(&wanted).expect("the request is of the documented form");
            let part = request.parts.first().expect("there is one");
            let nobody = BTreeSet::new();
            let alone = policies.evaluate_all(&request, part, &nobody).expect("it fits the schema");
            let verdict = policies.evaluate(&request, part, &nobody).expect("it fits the schema");
            assert_eq!(verdict, alone, "{text}\n{wanted}");
            errors += usize::from(!alone.errors.is_empty());
            allowed += usize::from(alone.allow);
            let (asked, all) = policies.asked(&request, part);
            left_out += all - asked;
            decided += usize::from(asked == 0 && !alone.policies.is_empty());
        }
    }
    // Otherwise it showed nothing.
    assert!(
        left_out > 10_000 && decided > 1_000 && errors > 100 && allowed > 500,
        "{left_out} {decided} {errors} {allowed}"
    );
}
