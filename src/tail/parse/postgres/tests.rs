//! Tests of postgres.
