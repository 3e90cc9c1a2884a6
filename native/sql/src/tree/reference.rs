//! The same tree by another way, which the one in use is held against: from the `pg_query` crate's structs through
//! `serde::Serialize`, which visits every field.

use serde::ser::{Impossible, Serialize, SerializeSeq, SerializeStruct, Serializer};

use super::{Literal, Node, Value};

/// A shape of data that the parser's structs do not have.
#[derive(Debug)]
pub struct Unsupported(String);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the parse tree holds {}", self.0)
    }
}
impl std::error::Error for Unsupported {}
impl serde::ser::Error for Unsupported {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Unsupported(message.to_string())
    }
}

/// Converts a message of `pg_query::protobuf`.
///
/// # Errors
/// When the struct holds something that parse trees do not (maps, tuples, bytes).
pub fn to_value<T: Serialize>(message: &T) -> Result<Value<'static>, Unsupported> {
    message.serialize(Converter)
}

struct Converter;

pub struct Items(Vec<Value<'static>>);
pub struct Fields {
    kind: &'static str,
    fields: Vec<(&'static str, Value<'static>)>,
}

/// These trees live as long as the test.
fn leak<T>(values: Vec<T>) -> &'static [T] {
    Vec::leak(values)
}

impl SerializeSeq for Items {
    type Ok = Value<'static>;
    type Error = Unsupported;
    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unsupported> {
        self.0.push(value.serialize(Converter)?);
        Ok(())
    }
    fn end(self) -> Result<Value<'static>, Unsupported> {
        Ok(Value::List(leak(self.0)))
    }
}

/// Where a node stands in the text says nothing of what it does.
fn is_position(field: &str) -> bool {
    field == "location" || field.ends_with("_location") && field != "stmt_location"
}

fn is_default(value: &Value<'_>) -> bool {
    match value {
        Value::None | Value::Bool(false) | Value::Int(0) => true,
        Value::Str(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        _ => false,
    }
}

impl SerializeStruct for Fields {
    type Ok = Value<'static>;
    type Error = Unsupported;
    fn serialize_field<T: ?Sized + Serialize>(&mut self, key: &'static str, value: &T) -> Result<(), Unsupported> {
        #[cfg(test)]
        super::names::known(self.kind, key);
        if is_position(key) {
            return Ok(());
        }
        let value = value.serialize(Converter)?;
        if !is_default(&value) {
            self.fields.push((key, value));
        }
        Ok(())
    }
    fn end(self) -> Result<Value<'static>, Unsupported> {
        let Fields { kind, mut fields } = self;
        match kind {
            // The envelope around every node: `Node { node: Some(SelectStmt) }`. A NULL in a list stays `None`.
            "Node" => Ok(fields.pop().map_or(Value::None, |(_, inner)| inner)),
            "AConst" => Ok(Value::Literal(literal(&fields))),
            _ => Ok(Value::Node(Box::leak(Box::new(Node {
                kind,
                fields: leak(fields),
            })))),
        }
    }
}

/// Rust's spelling of a struct's name as C spells it.
fn kind(name: &'static str) -> &'static str {
    match name {
        "AlterTsConfigurationStmt" => "AlterTSConfigurationStmt",
        "AlterTsDictionaryStmt" => "AlterTSDictionaryStmt",
        "AtAlterConstraint" => "ATAlterConstraint",
        "CteCycleClause" => "CTECycleClause",
        "CteSearchClause" => "CTESearchClause",
        "SqlValueFunction" => "SQLValueFunction",
        same => same,
    }
}

fn literal(fields: &[(&'static str, Value<'static>)]) -> Literal<'static> {
    let Some((_, Value::Node(inner))) = fields.iter().find(|(name, _)| *name == "val") else {
        return Literal::Null;
    };
    let text = |value: Option<&(&str, Value<'static>)>| match value {
        Some((_, Value::Str(text))) => *text,
        _ => "",
    };
    match (inner.kind, inner.fields.last()) {
        ("Integer", Some((_, Value::Int(number)))) => Literal::Integer(*number),
        ("Integer", _) => Literal::Integer(0),
        ("Boolean", value) => Literal::Boolean(value.is_some()),
        ("Float", value) => Literal::Float(text(value)),
        ("BitString", value) => Literal::BitString(text(value)),
        (_, value) => Literal::String(text(value)),
    }
}

impl Serializer for Converter {
    type Ok = Value<'static>;
    type Error = Unsupported;
    type SerializeSeq = Items;
    type SerializeTuple = Impossible<Value<'static>, Unsupported>;
    type SerializeTupleStruct = Impossible<Value<'static>, Unsupported>;
    type SerializeTupleVariant = Impossible<Value<'static>, Unsupported>;
    type SerializeMap = Impossible<Value<'static>, Unsupported>;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Impossible<Value<'static>, Unsupported>;

    fn serialize_bool(self, v: bool) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Bool(v))
    }
    fn serialize_i8(self, v: i8) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Int(v.into()))
    }
    fn serialize_i16(self, v: i16) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Int(v.into()))
    }
    fn serialize_i32(self, v: i32) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Int(v.into()))
    }
    fn serialize_i64(self, v: i64) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Int(v))
    }
    fn serialize_u8(self, v: u8) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Int(v.into()))
    }
    fn serialize_u16(self, v: u16) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Int(v.into()))
    }
    fn serialize_u32(self, v: u32) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Int(v.into()))
    }
    fn serialize_u64(self, v: u64) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Int(i64::try_from(v).unwrap_or(i64::MAX)))
    }
    /// Only planner statistics are floating-point in the structs; a raw parse tree has none.
    fn serialize_f32(self, _: f32) -> Result<Value<'static>, Unsupported> {
        Ok(Value::None)
    }
    fn serialize_f64(self, _: f64) -> Result<Value<'static>, Unsupported> {
        Ok(Value::None)
    }
    fn serialize_char(self, v: char) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Str(v.to_string().leak()))
    }
    fn serialize_str(self, v: &str) -> Result<Value<'static>, Unsupported> {
        Ok(if v.is_empty() {
            Value::None
        } else {
            Value::Str(v.to_owned().leak())
        })
    }
    fn serialize_none(self) -> Result<Value<'static>, Unsupported> {
        Ok(Value::None)
    }
    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<Value<'static>, Unsupported> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Value<'static>, Unsupported> {
        Ok(Value::None)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<Value<'static>, Unsupported> {
        Ok(Value::None)
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<Value<'static>, Unsupported> {
        Ok(Value::Int(index.into()))
    }
    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Result<Value<'static>, Unsupported> {
        value.serialize(self)
    }
    /// A variant of a `oneof`: the struct inside says what it is.
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Value<'static>, Unsupported> {
        value.serialize(self)
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Items, Unsupported> {
        Ok(Items(Vec::with_capacity(len.unwrap_or(0))))
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields, Unsupported> {
        Ok(Fields {
            kind: kind(name),
            fields: Vec::new(),
        })
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<Value<'static>, Unsupported> {
        Err(Unsupported("bytes".into()))
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unsupported> {
        Err(Unsupported("a tuple".into()))
    }
    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Unsupported> {
        Err(Unsupported(format!("the tuple {name}")))
    }
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unsupported> {
        Err(Unsupported(format!("the tuple {name}")))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unsupported> {
        Err(Unsupported("a map".into()))
    }
    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unsupported> {
        Err(Unsupported(format!("the variant {name}")))
    }
}

#[test]
fn both_ways_give_the_same_tree() {
    for sql in super::tests::texts() {
        let Ok(theirs) = pg_query::parse(sql, pg_query::ParserOptions::default()) else {
            continue;
        };
        let theirs: Vec<Value<'_>> = theirs.protobuf.stmts.iter().filter_map(|raw| to_value(&raw.stmt).ok()).collect();
        let same = crate::parse::parse(sql.as_bytes(), |statements| {
            let ours: Vec<Value<'_>> = statements.iter().map(|statement| Value::Node(statement.node)).collect();
            assert_eq!(ours, theirs, "{sql}");
        });
        assert_eq!(same, Ok(()), "{sql}");
    }
}
