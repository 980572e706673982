//! Durations and sizes as people write them in the config: `15s`, `7d`, `512MiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A duration such as `15s`, `1m 30s`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dur(pub Duration);

/// A size in bytes such as `512MiB`, `1GB`, `4096`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Dur {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text.trim())
            .map(Self)
            .map_err(|_| format!("{text:?} is no duration: a number and a unit, such as 500ms, 15s, 5m, 1h or 7d"))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.trim()
            .parse::<bytesize::ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(|_| format!("{text:?} is no size: a number and a unit, such as 64KiB, 512MiB or 1GiB"))
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", humantime::format_duration(self.0))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        for (unit, factor) in UNITS {
            if self.0 >= factor {
                let whole = self.0 / factor;
                let tenth = (self.0 % factor) * 10 / factor;
                return if tenth == 0 { write!(out, "{whole} {unit}") } else { write!(out, "{whole}.{tenth} {unit}") };
            }
        }
        write!(out, "{} B", self.0)
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Dur;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a duration such as 500ms, 15s, 5m, 1h or 7d")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Dur, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Size;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a size such as 64KiB, 512MiB or 1GiB")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
        }
        from.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_people_write_them() {
        assert_eq!("7d".parse::<Dur>().unwrap().0, Duration::from_secs(7 * 86400));
        assert_eq!("1m 30s".parse::<Dur>().unwrap().0, Duration::from_secs(90));
        assert_eq!("512MiB".parse::<Size>().unwrap().0, 512 << 20);
        assert_eq!("1GiB".parse::<Size>().unwrap().0, 1 << 30);
        assert_eq!("4096".parse::<Size>().unwrap().0, 4096);
    }

    #[test]
    fn what_is_no_duration_or_size_says_what_would_be_one() {
        assert!("15 parsecs".parse::<Dur>().unwrap_err().contains("15s"));
        assert!("15".parse::<Dur>().is_err(), "a bare number has no unit");
        assert!("big".parse::<Size>().unwrap_err().contains("1GiB"));
    }

    #[test]
    fn sizes_print_in_the_largest_unit_that_fits() {
        assert_eq!(Size(1 << 30).to_string(), "1 GiB");
        assert_eq!(Size(224_395_264).to_string(), "214 MiB");
        assert_eq!(Size(17).to_string(), "17 B");
    }
}
