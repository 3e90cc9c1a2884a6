//! Policy decisions by Cedar: compiles policy files against a schema and answers requests.
//!
//! It knows no protocol: the schema names the actions, the object types and the context. It fails closed: a request that
//! does not fit the schema, and any error while a policy is evaluated, is a denial.

mod action;
mod approvers;
mod compile;
mod decide;
mod diagnostic;
#[cfg(test)]
mod differential;
mod form;
mod request;
mod resources;
mod sieve;

pub use approvers::ApproverGroup;
pub use compile::{CompileError, Policies, PolicyFile, PolicySummary, Spec};
pub use decide::{Answer, Kind};
pub use diagnostic::Problem;
pub use request::{EntityRef, Part, Request, ResourceRef, Text, Value};
