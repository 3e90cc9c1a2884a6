//! A compiled row plan.

use serde_json::Value;

use super::types::{Class, Element};
use crate::scanner::CompileError;

/// What is done with the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mask {
    /// Look for patterns.
    Scan,
    /// Keep the last digits, whatever the content.
    Pan,
    /// Cover everything.
    Whole,
    None,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub mask: Mask,
    pub class: Class,
    pub binary: bool,
    /// The bytes of a value do not show all that is in it, so a scan of the raw row does not say enough about it.
    pub opaque_bytes: bool,
}

impl Column {
    pub(super) fn new(mask: Mask, oid: u32, binary: bool) -> Self {
        let class = Class::of(oid);
        let opaque_bytes = match class {
            Class::Integer { .. }
            | Class::Numeric
            | Class::Range(_)
            | Class::Multirange(_)
            | Class::Array(Element::Text | Element::Number) => binary,
            // Also in text they may hold exponents, grouped digits, or bytes in hexadecimal digits.
            Class::Floats | Class::Money | Class::Json { .. } | Class::Record | Class::Unknown | Class::Array(_) => true,
            Class::Bytea => !binary,
            Class::Text | Class::Xml | Class::Bits | Class::Opaque => false,
        };
        let mask = match (mask, class) {
            (Mask::Scan, Class::Opaque | Class::Bits) => Mask::None,
            (Mask::Scan, Class::Integer { bytes }) if bytes < 8 => Mask::None,
            _ => mask,
        };
        Self {
            mask,
            class,
            binary,
            opaque_bytes: opaque_bytes && mask == Mask::Scan,
        }
    }

    /// The same column where every value is written as text (COPY).
    pub(super) fn in_text(self) -> Self {
        Self { binary: false, ..self }
    }

    /// Whether a scan of the raw row says nothing at all: bytes that are no characters.
    pub(super) fn all_hidden(&self) -> bool {
        self.opaque_bytes && (self.binary && !matches!(self.class, Class::Json { .. }) || self.class == Class::Bytea)
    }

    /// A value inside of another one, in binary format, whose class is known without an OID.
    pub(super) fn inner(class: Class) -> Self {
        Self {
            mask: Mask::Scan,
            class,
            binary: true,
            opaque_bytes: true,
        }
    }

    /// An element of an array or a field of a record, which has a type of its own.
    pub(super) fn nested(oid: u32) -> Self {
        Self::new(Mask::Scan, oid, true)
    }
}

/// How COPY writes its rows, as far as it is not the format's default.
#[derive(Clone, Debug, Default)]
pub(super) struct CopyOptions {
    pub header: bool,
    pub delimiter: Option<u8>,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    pub null: Option<Vec<u8>>,
}

/// What to do with each column of a result; immutable.
#[derive(Debug)]
pub struct RowPlan {
    pub(super) columns: Vec<Column>,
    /// Some column is scanned.
    pub(super) scans: bool,
    /// Every row has to be looked into, whatever a scan of its raw bytes says.
    pub(super) every_row: bool,
    pub(super) copy: CopyOptions,
}

impl RowPlan {
    /// Compiles a JSON specification:
    /// `{ columns: [{ mask, type, binary }], copy: { header, delimiter, quote, escape, null } }`; `copy` is optional.
    ///
    /// # Errors
    /// Names what is wrong and what to write instead.
    pub fn compile(spec: &str) -> Result<Self, CompileError> {
        let spec: Value = serde_json::from_str(spec).map_err(|e| CompileError::new(format!("row plan: not JSON: {e}")))?;
        let list = spec
            .get("columns")
            .and_then(Value::as_array)
            .ok_or_else(|| CompileError::new("row plan: write { \"columns\": [...] }"))?;
        let columns = list.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            scans: columns.iter().any(|c| c.mask == Mask::Scan),
            every_row: columns.iter().any(|c| c.opaque_bytes || matches!(c.mask, Mask::Pan | Mask::Whole)),
            copy: spec.get("copy").map(copy_options).transpose()?.unwrap_or_default(),
            columns,
        })
    }
}

fn column(value: &Value) -> Result<Column, CompileError> {
    let mask = match value.get("mask").and_then(Value::as_str) {
        Some("scan") => Mask::Scan,
        Some("pan") => Mask::Pan,
        Some("sad" | "whole") => Mask::Whole,
        Some("none") => Mask::None,
        _ => return Err(CompileError::new("row plan: mask is one of scan, pan, sad, whole, none")),
    };
    let oid = value
        .get("type")
        .and_then(Value::as_u64)
        .and_then(|oid| u32::try_from(oid).ok())
        .ok_or_else(|| CompileError::new("row plan: type is the OID of the column's type"))?;
    let binary = value
        .get("binary")
        .and_then(Value::as_bool)
        .ok_or_else(|| CompileError::new("row plan: binary is true or false"))?;
    Ok(Column::new(mask, oid, binary))
}

fn copy_options(value: &Value) -> Result<CopyOptions, CompileError> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::as_bytes);
    let byte = |name: &str| match text(name) {
        None | Some([]) => Ok(None),
        Some(b"*") => Err(CompileError::new(format!(
            "row plan: copy.{name} cannot be *, which masks are made of"
        ))),
        Some([byte]) => Ok(Some(*byte)),
        Some(_) => Err(CompileError::new(format!("row plan: copy.{name} is one byte"))),
    };
    Ok(CopyOptions {
        header: value.get("header").and_then(Value::as_bool).unwrap_or(false),
        delimiter: byte("delimiter")?,
        quote: byte("quote")?,
        escape: byte("escape")?,
        null: text("null").map(<[u8]>::to_vec),
    })
}
