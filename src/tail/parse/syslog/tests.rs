//! Tests of syslog.
