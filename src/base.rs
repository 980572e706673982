//! Ground that knows nothing of telemetry: time, units, secrets, waiting, TLS.

pub mod backoff;
pub mod base64;
pub mod certs;
pub mod check;
pub mod clock;
pub mod fault;
pub mod go;
pub mod header;
pub mod http;
pub mod re2;
pub mod secret;
pub mod stop;
pub mod switch;
pub mod terminal;
pub mod tls;
pub mod units;
pub mod yaml;
