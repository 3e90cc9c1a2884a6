//! What utility statements do to relations and other objects. Expressions and queries inside them are walked as anywhere.

use super::model::Mode;
use super::walk::{Walker, dotted};
use crate::tree::{Node, Value};

/// Numbers of `ObjectType`, with the words of the contract. Relations are those that share one namespace with tables.
fn object_type(number: i64) -> &'static str {
    match number {
        1 => "access_method",
        2 => "aggregate",
        6 => "cast",
        7 => "column",
        8 => "collation",
        9 => "conversion",
        10 => "database",
        12 => "default_privileges",
        13 | 50 => "type",
        14 | 41 => "constraint",
        15 => "event_trigger",
        16 => "extension",
        17 => "foreign_data_wrapper",
        18 => "server",
        20 | 30 | 34 => "function",
        21 => "index",
        22 => "language",
        23 => "large_object",
        25 => "operator_class",
        26 => "operator",
        27 => "operator_family",
        28 => "parameter",
        29 => "policy",
        31 => "publication",
        33 => "role",
        36 => "rule",
        37 => "schema",
        38 => "sequence",
        39 => "subscription",
        40 => "statistics",
        43 => "tablespace",
        44 => "transform",
        45 => "trigger",
        46..=49 => "text_search",
        51 => "user_mapping",
        _ if is_table(number) => "table",
        _ => "other",
    }
}

/// TABLE, FOREIGN TABLE, MATERIALIZED VIEW, VIEW.
fn is_table(number: i64) -> bool {
    matches!(number, 19 | 24 | 42 | 52)
}

/// Objects whose name is that of a relation and then their own: column, policy, rule, constraint, trigger.
fn is_part_of_table(number: i64) -> bool {
    matches!(number, 7 | 29 | 36 | 41 | 45)
}

/// Visits a utility statement. False when it needs nothing but the plain walk.
pub fn visit(walker: &mut Walker, node: &Node) -> bool {
    match node.kind {
        "TruncateStmt" => walker.rest(node, Mode::Truncate, &[]),
        "LockStmt" => walker.rest(node, Mode::Lock, &[]),
        "VacuumStmt" | "ClusterStmt" | "ReindexStmt" | "RefreshMatViewStmt" => {
            if node.kind == "ReindexStmt" && !node.str("name").is_empty() {
                walker.object("schema", node.str("name").into());
            }
            walker.rest(node, Mode::Maintain, &[]);
        }
        "CopyStmt" => copy(walker, node),
        "DropStmt" => drop(walker, node),
        "CommentStmt" | "SecLabelStmt" => {
            named(walker, node.int("objtype"), node.get("object"), Mode::Alter);
        }
        "AlterTableStmt"
        | "RenameStmt"
        | "AlterObjectSchemaStmt"
        | "AlterOwnerStmt"
        | "AlterObjectDependsStmt"
        | "AlterSeqStmt"
        | "CreateTrigStmt"
        | "CreatePolicyStmt"
        | "AlterPolicyStmt"
        | "RuleStmt"
        | "IndexStmt" => {
            alter(walker, node);
        }
        "CreateStmt" => create(walker, node, "relation"),
        "ViewStmt" => create(walker, node, "view"),
        "CreateSeqStmt" => {
            create(walker, node, "sequence");
            if let Some(sequence) = node.node("sequence") {
                walker.object("sequence", relation_name(sequence));
            }
        }
        "CompositeTypeStmt" => {
            if let Some(name) = node.node("typevar") {
                walker.object("type", relation_name(name));
            }
            walker.rest(node, Mode::Select, &["typevar"]);
        }
        "CreateStatsStmt" => walker.rest(node, Mode::Maintain, &[]),
        "GrantStmt" => grant(walker, node),
        "PublicationTable" => walker.rest(node, Mode::Grant, &[]),
        "PrepareStmt" | "ExplainStmt" | "CreateTableAsStmt" | "DeclareCursorStmt" => {
            if let Some(query) = node.node("query") {
                walker.write(query);
            }
            walker.rest(node, Mode::Select, &[]);
        }
        "RoleSpec" => {
            if !node.str("rolename").is_empty() {
                walker.object("role", node.str("rolename").into());
            }
        }
        _ => {
            simple_objects(walker, node);
            return false;
        }
    }
    true
}

/// DDL whose object is in one field, by statement: (statement, field, type of object).
static OBJECT_FIELDS: &[(&str, &str, &str)] = &[
    ("AlterDatabaseRefreshCollStmt", "dbname", "database"),
    ("AlterDatabaseSetStmt", "dbname", "database"),
    ("AlterDatabaseStmt", "dbname", "database"),
    ("AlterDomainStmt", "type_name", "type"),
    ("AlterEnumStmt", "type_name", "type"),
    ("AlterEventTrigStmt", "trigname", "event_trigger"),
    ("AlterExtensionContentsStmt", "extname", "extension"),
    ("AlterExtensionStmt", "extname", "extension"),
    ("AlterFdwStmt", "fdwname", "foreign_data_wrapper"),
    ("AlterForeignServerStmt", "servername", "server"),
    ("AlterPublicationStmt", "pubname", "publication"),
    ("AlterSubscriptionStmt", "subname", "subscription"),
    ("AlterTableSpaceOptionsStmt", "tablespacename", "tablespace"),
    ("AlterTypeStmt", "type_name", "type"),
    ("AlterUserMappingStmt", "servername", "user_mapping"),
    ("CreateAmStmt", "amname", "access_method"),
    ("CreateDomainStmt", "domainname", "type"),
    ("CreateEnumStmt", "type_name", "type"),
    ("CreateEventTrigStmt", "trigname", "event_trigger"),
    ("CreateExtensionStmt", "extname", "extension"),
    ("CreateFdwStmt", "fdwname", "foreign_data_wrapper"),
    ("CreateForeignServerStmt", "servername", "server"),
    ("CreateFunctionStmt", "funcname", "function"),
    ("CreatePLangStmt", "plname", "language"),
    ("CreatePublicationStmt", "pubname", "publication"),
    ("CreateRangeStmt", "type_name", "type"),
    ("CreateRoleStmt", "role", "role"),
    ("CreateSchemaStmt", "schemaname", "schema"),
    ("CreateSubscriptionStmt", "subname", "subscription"),
    ("CreateTableSpaceStmt", "tablespacename", "tablespace"),
    ("CreateUserMappingStmt", "servername", "user_mapping"),
    ("CreatedbStmt", "dbname", "database"),
    ("DropSubscriptionStmt", "subname", "subscription"),
    ("DropTableSpaceStmt", "tablespacename", "tablespace"),
    ("DropUserMappingStmt", "servername", "user_mapping"),
    ("DropdbStmt", "dbname", "database"),
    ("ImportForeignSchemaStmt", "server_name", "server"),
    ("ListenStmt", "conditionname", "channel"),
    ("LoadStmt", "filename", "library"),
    ("NotifyStmt", "conditionname", "channel"),
    ("TransactionStmt", "gid", "prepared_transaction"),
    ("UnlistenStmt", "conditionname", "channel"),
];

fn simple_objects(walker: &mut Walker, node: &Node) {
    for (kind, field, object) in OBJECT_FIELDS {
        if *kind == node.kind {
            let name = match node.get(field) {
                Value::List(_) => dotted(&node.names(field)),
                other => other.name().unwrap_or_default().into(),
            };
            if !name.is_empty() {
                walker.object(object, name);
            }
        }
    }
    match node.kind {
        "DefineStmt" => {
            let name = dotted(&node.names("defnames"));
            walker.object(object_type(node.int("kind")), name);
        }
        "AlterFunctionStmt" => {
            if let Some(function) = node.node("func") {
                walker.object("function", dotted(&function.names("objname")));
            }
        }
        "AccessPriv" if !node.str("priv_name").is_empty() => {
            // GRANT role: the roles granted are parsed as privileges.
            walker.object("privilege", node.str("priv_name").into());
        }
        _ => {}
    }
}

fn relation_name(relation: &Node) -> String {
    match relation.str("schemaname") {
        "" => relation.str("relname").into(),
        schema => dotted(&[schema, relation.str("relname")]),
    }
}

/// CREATE of a relation: the relation itself, and reads of what it is made from (LIKE, INHERITS, a query, foreign keys).
fn create(walker: &mut Walker, node: &Node, field: &'static str) {
    walker.target(node.node(field), Mode::Create, Vec::new());
    walker.rest(node, Mode::Select, &[field]);
}

fn alter(walker: &mut Walker, node: &Node) {
    let field = match node.kind {
        "CreatePolicyStmt" | "AlterPolicyStmt" => "table",
        "AlterSeqStmt" => "sequence",
        _ => "relation",
    };
    if node.node(field).is_some() {
        walker.target(node.node(field), Mode::Alter, Vec::new());
    } else {
        let number = if node.kind == "RenameStmt" {
            node.int("rename_type")
        } else {
            node.int("object_type")
        };
        named(walker, number, node.get("object"), Mode::Alter);
    }
    walker.rest(node, Mode::Select, &[field, "object"]);
}

/// Names an object of DDL: relations as uses of tables, the rest as objects.
fn named(walker: &mut Walker, number: i64, object: &Value, mode: Mode) {
    let names = object_names(object);
    if is_part_of_table(number) {
        if let Some((part, table)) = names.split_last() {
            table_use(walker, table, mode);
            walker.object(object_type(number), part.clone());
        }
    } else if is_table(number) {
        table_use(walker, &names, mode);
    } else {
        walker.object(object_type(number), dotted(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    }
}

fn table_use(walker: &mut Walker, names: &[String], mode: Mode) {
    if let Some((name, before)) = names.split_last() {
        walker.table(before.last().map_or("", String::as_str), name, mode, Vec::new());
    }
}

/// The dotted name in any of the forms in which DDL holds one.
fn object_names(object: &Value) -> Vec<String> {
    match object {
        Value::List(items) => items.iter().flat_map(object_names).collect(),
        Value::Node(node) => match node.kind {
            "List" => node.list("items").iter().flat_map(object_names).collect(),
            "ObjectWithArgs" => node.names("objname").into_iter().map(str::to_owned).collect(),
            "TypeName" => node.names("names").into_iter().map(str::to_owned).collect(),
            "RangeVar" => {
                let schema = Some(node.str("schemaname")).filter(|s| !s.is_empty());
                schema.into_iter().chain([node.str("relname")]).map(str::to_owned).collect()
            }
            "RoleSpec" => vec![node.str("rolename").to_owned()],
            _ => object.name().map(str::to_owned).into_iter().collect(),
        },
        other => other.name().map(str::to_owned).into_iter().collect(),
    }
}

fn drop(walker: &mut Walker, node: &Node) {
    for object in node.list("objects") {
        named(walker, node.int("remove_type"), object, Mode::Drop);
    }
}

fn grant(walker: &mut Walker, node: &Node) {
    let number = node.int("objtype");
    for object in node.list("objects") {
        if let Some(relation) = object.of_kind("RangeVar") {
            walker.target(Some(relation), Mode::Grant, Vec::new());
        } else {
            walker.object(
                object_type(number),
                dotted(&object_names(object).iter().map(String::as_str).collect::<Vec<_>>()),
            );
        }
    }
    walker.rest(node, Mode::Grant, &["objects"]);
}

fn copy(walker: &mut Walker, node: &Node) {
    if let Some(query) = node.node("query") {
        walker.write(query);
    }
    if let Some(relation) = node.node("relation") {
        let mode = if node.bool("is_from") { Mode::CopyFrom } else { Mode::CopyTo };
        let columns = node.names("attlist").into_iter().map(str::to_owned).collect();
        walker.target(Some(relation), mode, columns);
    }
    walker.rest(node, Mode::Select, &["relation", "attlist"]);
}
