//! Tests of nginx.
