//! What is asked, as it comes: borrowed from the text of the request.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Text of the request; owned only where it was escaped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Text<'text>(#[serde(borrow)] pub Cow<'text, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<String> for Text<'_> {
    fn eq(&self, other: &String) -> bool {
        *self.0 == **other
    }
}

/// Who asks to do what to which objects, all in one: what is the same for every object is built once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request<'text> {
    /// `User` or `Service` with its name.
    #[serde(borrow)]
    pub principal: EntityRef<'text>,
    /// Names of the `Group`s the principal is in.
    #[serde(borrow)]
    pub groups: Vec<Text<'text>>,
    /// Facts by the names of the schema. Of a name that is there twice the last one counts.
    #[serde(borrow)]
    pub context: BTreeMap<Text<'text>, Value<'text>>,
    /// Groups that have approved this very request.
    #[serde(default, rename = "approvedBy")]
    pub approved_by: BTreeSet<String>,
    /// What is done to what; all of it must be allowed.
    #[serde(borrow)]
    pub parts: Vec<Part<'text>>,
}

/// One action on one object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part<'text> {
    /// Name of the action.
    #[serde(borrow)]
    pub action: Text<'text>,
    /// What is acted on.
    #[serde(borrow)]
    pub resource: ResourceRef<'text>,
}

/// An entity by type and id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntityRef<'text> {
    /// Entity type of the schema.
    #[serde(rename = "type", borrow)]
    pub kind: Text<'text>,
    /// Any text.
    #[serde(borrow)]
    pub id: Text<'text>,
}

/// The resource with all entities it is in, direct and indirect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceRef<'text> {
    /// Entity type of the schema.
    #[serde(rename = "type", borrow)]
    pub kind: Text<'text>,
    /// Any text.
    #[serde(borrow)]
    pub id: Text<'text>,
    /// Everything it is in.
    #[serde(default, borrow)]
    pub parents: Vec<EntityRef<'text>>,
    /// Attributes by the names of the schema.
    #[serde(default, borrow)]
    pub attrs: BTreeMap<Text<'text>, Value<'text>>,
}

/// The values a schema here can ask for.
#[derive(Clone, Debug)]
pub enum Value<'text> {
    /// Bool.
    Bool(bool),
    /// Long.
    Long(i64),
    /// String.
    Text(Text<'text>),
    /// Set<String>.
    Set(Vec<Text<'text>>),
}

impl<'text> Value<'text> {
    pub(crate) fn set(&self) -> Option<&[Text<'text>]> {
        match self {
            Self::Set(texts) => Some(texts),
            _ => None,
        }
    }
}

impl<'de: 'text, 'text> Deserialize<'de> for Value<'text> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, an integer, a boolean or an array of strings")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Long(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        i64::try_from(value)
            .map(Value::Long)
            .map_err(|_| E::custom("the integer is too large"))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Text(Cow::Borrowed(value))))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Text(Cow::Owned(value.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element::<Text<'de>>()? {
            texts.push(text);
        }
        Ok(Value::Set(texts))
    }
}
