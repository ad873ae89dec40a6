//! What several built-ins share.

pub(crate) mod field;
pub(crate) mod function;
pub(crate) mod handled;
pub(crate) mod hit;
pub(crate) mod java_numbers;
pub(crate) mod same;
pub(crate) mod template;
pub(crate) mod text_map;
