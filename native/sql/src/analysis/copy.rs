//! The options of COPY, with the server's defaults filled in.

use super::model::Copy;
use super::walk::constant;
use crate::tree::{Node, Value};

/// What a COPY statement says of its data.
pub fn of(statement: &Node) -> Copy {
    let option = |name: &str| {
        statement
            .list("options")
            .iter()
            .filter_map(Value::node)
            .rfind(|o| o.str("defname").eq_ignore_ascii_case(name))
    };
    let text = |name: &str| option(name).and_then(|o| constant(o.get("arg")));
    let format = match text("format").unwrap_or_default().to_ascii_lowercase().as_str() {
        "csv" => "csv",
        "binary" => "binary",
        _ => "text",
    };
    let csv = format == "csv";
    let quote = text("quote").unwrap_or_else(|| if csv { "\"".into() } else { String::new() });
    // A bare `header` is on; `match` is a header too. Only a plain off is none.
    let header = option("header").is_some_and(|o| match constant(o.get("arg")) {
        Some(word) => !matches!(word.to_ascii_lowercase().as_str(), "false" | "off" | "0"),
        None => true,
    });
    Copy {
        format,
        columns: statement.names("attlist").into_iter().map(str::to_owned).collect(),
        table: statement.node("relation").map(|relation| match relation.str("schemaname") {
            "" => relation.str("relname").to_owned(),
            schema => format!("{schema}.{}", relation.str("relname")),
        }),
        header,
        delimiter: text("delimiter").unwrap_or_else(|| if csv { ",".into() } else { "\t".into() }),
        escape: text("escape").unwrap_or_else(|| if csv { quote.clone() } else { String::new() }),
        quote,
        null_string: text("null").unwrap_or_else(|| if csv { String::new() } else { "\\N".into() }),
        encoding: text("encoding").unwrap_or_default(),
    }
}
