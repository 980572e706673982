//! Log files and the journal: following them, and understanding their lines.

pub mod parse;
