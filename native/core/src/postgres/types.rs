//! What a type's values look like, by its OID (`pg_type.dat`). OIDs below 10000 never change.

/// How values of a type are read and masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Characters in text and in binary format.
    Text,
    /// `json`, and `jsonb`, whose binary format has a version byte in front.
    Json {
        version_byte: bool,
    },
    Xml,
    Bytea,
    /// `bit` and `varbit`.
    Bits,
    /// Fixed-width integers; the width in binary format.
    Integer {
        bytes: usize,
    },
    Numeric,
    /// `float8`, which holds whole numbers of up to 16 digits exactly, and what is made of such: points, arrays of them.
    Floats,
    /// `money`: hundredths in binary format, grouped digits in text.
    Money,
    /// A range over values of that type; 0: not known.
    Range(u32),
    /// Ranges over values of that type.
    Multirange(u32),
    /// An array of a class of elements.
    Array(Element),
    /// A row value, `record` or a named composite type.
    Record,
    /// Dates, booleans, floats of 4 bytes (7 digits), network addresses: cannot hold a card number as such, nor carry a mask.
    Opaque,
    /// Not built in: an enum, a composite, an extension's type.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Text,
    Number,
    Float,
    Money,
    Other,
}

/// OIDs from here on are not `PostgreSQL`'s own.
const FIRST_USER_OID: u32 = 10_000;

impl Class {
    pub(super) fn of(oid: u32) -> Self {
        match oid {
            // "char", name, text, unknown, bpchar, varchar, cstring.
            18 | 19 | 25 | 705 | 1042 | 1043 | 2275 => Self::Text,
            17 => Self::Bytea,
            // int8, xid8.
            20 | 5069 => Self::Integer { bytes: 8 },
            21 => Self::Integer { bytes: 2 },
            // int4, oid.
            23 | 26 => Self::Integer { bytes: 4 },
            114 => Self::Json { version_byte: false },
            3802 => Self::Json { version_byte: true },
            142 => Self::Xml,
            1560 | 1562 => Self::Bits,
            1700 => Self::Numeric,
            // float8, point, lseg, path, box, polygon, line, circle.
            701 | 600..=604 | 628 | 718 => Self::Floats,
            790 => Self::Money,
            // int8range, numrange, and their multiranges.
            3926 => Self::Range(20),
            3906 => Self::Range(1700),
            4536 => Self::Multirange(20),
            4532 => Self::Multirange(1700),
            // float8[], point[], lseg[], path[], box[], polygon[], line[], circle[].
            1022 | 1017 | 1018 | 1019 | 1020 | 1027 | 629 | 719 => Self::Array(Element::Float),
            791 => Self::Array(Element::Money),
            2249 => Self::Record,
            // json[], xml[], char[], name[], bpchar[], text[], varchar[], cstring[], jsonb[].
            199 | 143 | 1002 | 1003 | 1009 | 1014 | 1015 | 1263 | 3807 => Self::Array(Element::Text),
            // int2[], int4[], int8[], oid[], numeric[], xid8[], int8range[], numrange[], int8multirange[], nummultirange[].
            1005 | 1007 | 1016 | 1028 | 1231 | 271 | 3927 | 3907 | 6157 | 6151 => Self::Array(Element::Number),
            // bytea[], record[].
            1001 | 2287 => Self::Array(Element::Other),
            // tsvector, tsquery, jsonpath, refcursor and the catalog's own text-like types are read as text.
            3614 | 3615 | 4072 | 1790 | 194 => Self::Unknown,
            1..FIRST_USER_OID if is_opaque(oid) => Self::Opaque,
            _ => Self::Unknown,
        }
    }

    /// Whether digits in a value stand for a number, which a star would break.
    pub(super) fn is_number(self) -> bool {
        matches!(
            self,
            Self::Integer { .. } | Self::Numeric | Self::Range(20 | 1700) | Self::Multirange(20 | 1700) | Self::Array(Element::Number)
        )
    }
}

fn is_opaque(oid: u32) -> bool {
    matches!(
        oid,
        // bool, tid, xid, cid, float4, macaddr, inet, cidr, date and time types, timetz, interval, uuid, pg_lsn, and the arrays
        // of bool, float4, date, timestamp, uuid.
        16 | 27
            | 28
            | 29
            | 650
            | 700
            | 774
            | 829
            | 869
            | 1000
            | 1021
            | 1082
            | 1083
            | 1114
            | 1115
            | 1182
            | 1183
            | 1184
            | 1185
            | 1186
            | 1266
            | 2950
            | 2951
            | 3220
    )
}
