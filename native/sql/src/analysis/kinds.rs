//! Which class of statement a node is, and which nodes a raw parse tree can hold at all.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::tree::{Node, Value};

/// Numbers of `TransactionStmtKind`.
mod transaction {
    pub const BEGIN: i64 = 1;
    pub const START: i64 = 2;
    pub const COMMIT: i64 = 3;
    pub const ROLLBACK: i64 = 4;
    pub const SAVEPOINT: i64 = 5;
    pub const ROLLBACK_TO: i64 = 7;
    pub const ROLLBACK_PREPARED: i64 = 10;
}

/// `VariableSetKind::VarReset` and everything after it.
const VAR_RESET: i64 = 5;

/// The class of a statement by its own node; what it holds inside can raise it (see `walk`).
pub fn kind_of(statement: &Node) -> &'static str {
    match statement.kind {
        "SelectStmt" => "select",
        "InsertStmt" => "insert",
        "UpdateStmt" => "update",
        "DeleteStmt" => "delete",
        "MergeStmt" => "merge",
        "TruncateStmt" => "truncate",
        "CommentStmt" => "comment",
        "SecLabelStmt" => "security_label",
        "GrantStmt" | "GrantRoleStmt" => grant(statement.bool("is_grant")),
        "AlterDefaultPrivilegesStmt" => grant(statement.node("action").is_some_and(|a| a.bool("is_grant"))),
        "CreateRoleStmt" | "AlterRoleStmt" | "AlterRoleSetStmt" | "DropRoleStmt" | "ReassignOwnedStmt" => "role",
        "CopyStmt" => copy(statement),
        "CallStmt" => "call",
        "DoStmt" => "do",
        "VariableSetStmt" if statement.int("kind") >= VAR_RESET => "reset",
        "VariableSetStmt" | "ConstraintsSetStmt" => "set",
        "VariableShowStmt" => "show",
        "ExplainStmt" => explain(statement),
        "TransactionStmt" => match statement.int("kind") {
            transaction::BEGIN | transaction::START => "begin",
            transaction::ROLLBACK | transaction::ROLLBACK_PREPARED => "rollback",
            transaction::SAVEPOINT..=transaction::ROLLBACK_TO => "savepoint",
            transaction::COMMIT.. => "commit",
            _ => "other",
        },
        "PrepareStmt" => "prepare",
        "ExecuteStmt" => "execute",
        "DeallocateStmt" => "deallocate",
        "DeclareCursorStmt" => "declare",
        "FetchStmt" if statement.bool("ismove") => "move",
        "FetchStmt" => "fetch",
        "ClosePortalStmt" => "close",
        "ListenStmt" => "listen",
        "NotifyStmt" => "notify",
        "UnlistenStmt" => "unlisten",
        "LockStmt" => "lock",
        "VacuumStmt" if statement.bool("is_vacuumcmd") => "vacuum",
        "VacuumStmt" => "analyze",
        "ClusterStmt" => "cluster",
        "ReindexStmt" => "reindex",
        "CheckPointStmt" => "checkpoint",
        "LoadStmt" => "load",
        "DiscardStmt" => "discard",
        "RefreshMatViewStmt" => "refresh",
        "CreatePublicationStmt" | "AlterPublicationStmt" | "CreateSubscriptionStmt" | "AlterSubscriptionStmt" | "DropSubscriptionStmt" => {
            "replication"
        }
        "ViewStmt" | "RuleStmt" | "IndexStmt" | "DefineStmt" | "CompositeTypeStmt" | "ImportForeignSchemaStmt" | "CreatedbStmt" => "create",
        "DropStmt" | "DropdbStmt" | "DropOwnedStmt" | "DropTableSpaceStmt" | "DropUserMappingStmt" => "drop",
        "RenameStmt" => "alter",
        kind if is_raw(kind) && kind.ends_with("Stmt") && kind.starts_with("Create") => "create",
        kind if is_raw(kind) && kind.ends_with("Stmt") && kind.starts_with("Alter") => "alter",
        _ => "other",
    }
}

fn grant(is_grant: bool) -> &'static str {
    if is_grant { "grant" } else { "revoke" }
}

fn copy(statement: &Node) -> &'static str {
    if statement.bool("is_program") {
        "copy_program"
    } else if !statement.str("filename").is_empty() {
        "copy_file"
    } else if statement.bool("is_from") {
        "copy_from"
    } else {
        "copy_to"
    }
}

/// EXPLAIN ANALYZE runs the statement, so it is that statement.
fn explain(statement: &Node) -> &'static str {
    match statement.node("query") {
        Some(query) if runs(statement) => match query.kind {
            "CreateTableAsStmt" => "create",
            _ => kind_of(query),
        },
        Some(_) => "explain",
        None => "other",
    }
}

/// Whether an EXPLAIN has ANALYZE. Of several options the server takes the last; any that is not plainly off counts.
fn runs(explain: &Node) -> bool {
    explain
        .list("options")
        .iter()
        .filter_map(Value::node)
        .any(|option| option.str("defname").eq_ignore_ascii_case("analyze") && !is_off(option.get("arg")))
}

fn is_off(argument: &Value) -> bool {
    match argument {
        Value::Node(node) if node.kind == "Integer" => node.int("ival") == 0,
        Value::Node(node) if node.kind == "Boolean" => !node.bool("boolval"),
        other => other
            .name()
            .is_some_and(|word| word.eq_ignore_ascii_case("off") || word.eq_ignore_ascii_case("false")),
    }
}

/// Whether a raw parse tree may hold a node of this kind. The parser's structs also describe analyzed queries and plans;
/// a kind that is not listed means that we do not know what the statement does.
pub fn is_raw(kind: &str) -> bool {
    static KINDS: LazyLock<HashSet<&str, ahash::RandomState>> = LazyLock::new(|| RAW.iter().copied().collect());
    KINDS.contains(kind)
}

/// Sorted. Everything that `gram.y` builds, and the leaves and helper structs of the protobuf form.
static RAW: &[&str] = &[
    "AArrayExpr",
    "AExpr",
    "AIndices",
    "AIndirection",
    "AStar",
    "ATAlterConstraint",
    "AccessPriv",
    "Alias",
    "AlterCollationStmt",
    "AlterDatabaseRefreshCollStmt",
    "AlterDatabaseSetStmt",
    "AlterDatabaseStmt",
    "AlterDefaultPrivilegesStmt",
    "AlterDomainStmt",
    "AlterEnumStmt",
    "AlterEventTrigStmt",
    "AlterExtensionContentsStmt",
    "AlterExtensionStmt",
    "AlterFdwStmt",
    "AlterForeignServerStmt",
    "AlterFunctionStmt",
    "AlterObjectDependsStmt",
    "AlterObjectSchemaStmt",
    "AlterOpFamilyStmt",
    "AlterOperatorStmt",
    "AlterOwnerStmt",
    "AlterPolicyStmt",
    "AlterPublicationStmt",
    "AlterRoleSetStmt",
    "AlterRoleStmt",
    "AlterSeqStmt",
    "AlterStatsStmt",
    "AlterSubscriptionStmt",
    "AlterSystemStmt",
    "AlterTSConfigurationStmt",
    "AlterTSDictionaryStmt",
    "AlterTableCmd",
    "AlterTableMoveAllStmt",
    "AlterTableSpaceOptionsStmt",
    "AlterTableStmt",
    "AlterTypeStmt",
    "AlterUserMappingStmt",
    "BitString",
    "BoolExpr",
    "Boolean",
    "BooleanTest",
    "CTECycleClause",
    "CTESearchClause",
    "CallStmt",
    "CaseExpr",
    "CaseWhen",
    "CheckPointStmt",
    "ClosePortalStmt",
    "ClusterStmt",
    "CoalesceExpr",
    "CollateClause",
    "ColumnDef",
    "ColumnRef",
    "CommentStmt",
    "CommonTableExpr",
    "CompositeTypeStmt",
    "Constraint",
    "ConstraintsSetStmt",
    "CopyStmt",
    "CreateAmStmt",
    "CreateCastStmt",
    "CreateConversionStmt",
    "CreateDomainStmt",
    "CreateEnumStmt",
    "CreateEventTrigStmt",
    "CreateExtensionStmt",
    "CreateFdwStmt",
    "CreateForeignServerStmt",
    "CreateForeignTableStmt",
    "CreateFunctionStmt",
    "CreateOpClassItem",
    "CreateOpClassStmt",
    "CreateOpFamilyStmt",
    "CreatePLangStmt",
    "CreatePolicyStmt",
    "CreatePublicationStmt",
    "CreateRangeStmt",
    "CreateRoleStmt",
    "CreateSchemaStmt",
    "CreateSeqStmt",
    "CreateStatsStmt",
    "CreateStmt",
    "CreateSubscriptionStmt",
    "CreateTableAsStmt",
    "CreateTableSpaceStmt",
    "CreateTransformStmt",
    "CreateTrigStmt",
    "CreateUserMappingStmt",
    "CreatedbStmt",
    "CurrentOfExpr",
    "DeallocateStmt",
    "DeclareCursorStmt",
    "DefElem",
    "DefineStmt",
    "DeleteStmt",
    "DiscardStmt",
    "DoStmt",
    "DropOwnedStmt",
    "DropRoleStmt",
    "DropStmt",
    "DropSubscriptionStmt",
    "DropTableSpaceStmt",
    "DropUserMappingStmt",
    "DropdbStmt",
    "ExecuteStmt",
    "ExplainStmt",
    "FetchStmt",
    "Float",
    "FuncCall",
    "FunctionParameter",
    "GrantRoleStmt",
    "GrantStmt",
    "GroupingFunc",
    "GroupingSet",
    "ImportForeignSchemaStmt",
    "IndexElem",
    "IndexStmt",
    "InferClause",
    "InsertStmt",
    "Integer",
    "IntoClause",
    "JoinExpr",
    "JsonAggConstructor",
    "JsonArgument",
    "JsonArrayAgg",
    "JsonArrayConstructor",
    "JsonArrayQueryConstructor",
    "JsonBehavior",
    "JsonFormat",
    "JsonFuncExpr",
    "JsonIsPredicate",
    "JsonKeyValue",
    "JsonObjectAgg",
    "JsonObjectConstructor",
    "JsonOutput",
    "JsonParseExpr",
    "JsonReturning",
    "JsonScalarExpr",
    "JsonSerializeExpr",
    "JsonTable",
    "JsonTableColumn",
    "JsonTablePathSpec",
    "JsonValueExpr",
    "List",
    "ListenStmt",
    "LoadStmt",
    "LockStmt",
    "LockingClause",
    "MergeStmt",
    "MergeSupportFunc",
    "MergeWhenClause",
    "MinMaxExpr",
    "MultiAssignRef",
    "NamedArgExpr",
    "NotifyStmt",
    "NullTest",
    "ObjectWithArgs",
    "OnConflictClause",
    "ParamRef",
    "PartitionBoundSpec",
    "PartitionCmd",
    "PartitionElem",
    "PartitionRangeDatum",
    "PartitionSpec",
    "PrepareStmt",
    "PublicationObjSpec",
    "PublicationTable",
    "RangeFunction",
    "RangeSubselect",
    "RangeTableFunc",
    "RangeTableFuncCol",
    "RangeTableSample",
    "RangeVar",
    "ReassignOwnedStmt",
    "RefreshMatViewStmt",
    "ReindexStmt",
    "RenameStmt",
    "ReplicaIdentityStmt",
    "ResTarget",
    "ReturnStmt",
    "ReturningClause",
    "ReturningOption",
    "RoleSpec",
    "RowExpr",
    "RuleStmt",
    "SQLValueFunction",
    "SecLabelStmt",
    "SelectStmt",
    "SetToDefault",
    "SortBy",
    "StatsElem",
    "String",
    "SubLink",
    "TableLikeClause",
    "TransactionStmt",
    "TriggerTransition",
    "TruncateStmt",
    "TypeCast",
    "TypeName",
    "UnlistenStmt",
    "UpdateStmt",
    "VacuumRelation",
    "VacuumStmt",
    "VariableSetStmt",
    "VariableShowStmt",
    "ViewStmt",
    "WindowDef",
    "WithClause",
    "XmlExpr",
    "XmlSerialize",
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_is_sorted() {
        assert!(super::RAW.is_sorted());
    }
}
