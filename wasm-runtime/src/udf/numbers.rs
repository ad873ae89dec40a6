//! Numbers that guests give, and their text in JSON.

use std::io::Write;

/// Room for the text of one.
pub(crate) type Room = [u8; 32];

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Integer(i64),
    /// Finite.
    Real(f64),
}

impl Number {
    /// `None` for one that JSON cannot hold.
    pub(crate) fn real(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self::Real(value))
    }

    /// As JSON text, written into `room`.
    #[inline]
    pub(crate) fn text(self, room: &mut Room) -> &[u8] {
        let mut free = &mut room[..];
        // The longest are `-9223372036854775808` and reals of 24 digits and signs.
        let _ = match self {
            Self::Integer(value) => free.write_all(itoa::Buffer::new().format(value).as_bytes()),
            Self::Real(value) => serde_json::to_writer(&mut free, &value).map_err(Into::into),
        };
        let left = free.len();
        &room[..room.len() - left]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_the_one_that_serde_writes() {
        let mut room = Room::default();
        for value in [0, -1, 7, i64::MAX, i64::MIN] {
            assert_eq!(Number::Integer(value).text(&mut room), value.to_string().as_bytes());
        }
        for value in
            [0.0, -0.0, 1.0, 0.1, -2.5e-7, 1e300, f64::MAX, f64::MIN_POSITIVE, -5e-324, 1.7976931348623157e-308]
        {
            let text = serde_json::Number::from_f64(value).unwrap().to_string();
            assert_eq!(Number::real(value).unwrap().text(&mut room), text.as_bytes());
        }
        for value in [f64::NAN, f64::INFINITY, -f64::INFINITY] {
            assert_eq!(Number::real(value), None);
        }
    }
}
