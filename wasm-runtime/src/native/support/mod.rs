//! What several built-ins share.

pub mod field;
pub mod handled;
pub mod hit;
pub mod java_numbers;
pub mod same;
pub mod template;
pub mod text_map;
