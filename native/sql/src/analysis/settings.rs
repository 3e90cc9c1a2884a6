//! Run-time parameters: SET, RESET, `set_config`.

use super::model::Setting;
use super::walk::constant;
use crate::tree::{Node, Value};

/// Numbers of `VariableSetKind`.
const VAR_SET_VALUE: i64 = 1;
const VAR_SET_CURRENT: i64 = 3;
const VAR_SET_MULTI: i64 = 4;
const VAR_RESET_ALL: i64 = 6;

/// What a SET or RESET sets.
pub fn of_set(statement: &Node) -> Setting {
    let kind = statement.int("kind");
    let name = if kind == VAR_RESET_ALL {
        String::from("all")
    } else {
        statement.str("name").to_lowercase()
    };
    let value = match kind {
        VAR_SET_VALUE => statement
            .list("args")
            .iter()
            .map(constant)
            .collect::<Option<Vec<_>>>()
            .map(|values| values.join(", ")),
        VAR_SET_CURRENT | VAR_SET_MULTI => None,
        _ => Some(String::new()),
    };
    Setting {
        name,
        value,
        local: statement.bool("is_local"),
    }
}

/// What a call of `set_config(name, value, local)` sets; `None` when the name is not a constant.
pub fn of_set_config(call: &Node) -> Option<Setting> {
    let arguments = call.list("args");
    let named = arguments.iter().any(|argument| argument.of_kind("NamedArgExpr").is_some());
    let [name, value, local] = arguments else { return None };
    if named || call.bool("func_variadic") {
        return None;
    }
    let local = matches!(local, Value::Literal(_)) && constant(local).is_some_and(|word| word == "true");
    Some(Setting {
        name: constant(name)?.to_lowercase(),
        value: constant(value),
        local,
    })
}
