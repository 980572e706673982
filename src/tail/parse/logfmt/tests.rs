//! Tests of logfmt.
