//! Words and numbers for severity, as OTLP's severity numbers.
//!
//! The numbers of the syslog words are those of OpenTelemetry's log data model (appendix B); those of pino and
//! bunyan are steps of ten from 10 (trace) to 60 (fatal).

/// The severity number of a level's word in any case; none for other words.
#[inline]
pub(super) fn word(word: &str) -> Option<u8> {
    let mut lower = [0; 13];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"trace" | b"trc" | b"verbose" | b"silly" | b"finest" | b"t" => 1,
        b"debug" | b"dbg" | b"fine" | b"d" => 5,
        b"info" | b"information" | b"informational" | b"inf" | b"log" | b"i" => 9,
        b"notice" => 10,
        b"warn" | b"warning" | b"wrn" | b"w" => 13,
        b"error" | b"err" | b"severe" | b"e" => 17,
        b"critical" | b"crit" | b"c" => 18,
        b"alert" | b"dpanic" => 19,
        b"fatal" | b"ftl" | b"emerg" | b"emergency" | b"panic" | b"f" => 21,
        _ => return None,
    })
}

/// The severity number of a word that is a level even in the middle of a sentence: capitals, three letters at least.
pub(super) fn capitals(text: &str) -> Option<u8> {
    if text.len() < 3 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    match text {
        "LOG" | "FINE" | "FINEST" | "SILLY" | "VERBOSE" | "ALERT" | "INFORMATION" | "INF" => None,
        _ => word(text),
    }
}

/// The severity number of a pino or bunyan level.
pub(super) fn pino(level: i64) -> Option<u8> {
    Some(match level {
        10..20 => 1,
        20..30 => 5,
        30..40 => 9,
        40..50 => 13,
        50..60 => 17,
        60 => 21,
        _ => return None,
    })
}

/// The severity number of a syslog severity, 0 (emergency) to 7 (debug).
pub(super) fn syslog(severity: u8) -> u8 {
    match severity {
        0 => 21,
        1 => 19,
        2 => 18,
        3 => 17,
        4 => 13,
        5 => 10,
        6 => 9,
        _ => 5,
    }
}
