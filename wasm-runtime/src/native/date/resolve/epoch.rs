//! Seconds, milliseconds and microseconds since 1970, as OpenSearch's `EpochTime` resolves them.

use super::super::pattern::Field;
use super::fields::Fields;

/// Whether there were any. `None` is a failure.
pub(crate) fn resolve(fields: &mut Fields) -> Option<bool> {
    if let Some(seconds) = fields.remove(Field::EpochSecond) {
        fields.set(Field::InstantSeconds, seconds);
        if let Some(nanos) = fields.remove(Field::EpochNano) {
            fields.set(Field::Nano, nanos);
        }
        return Some(true);
    }
    let units = [
        (Field::EpochMilli, Field::NanoOfMilli, 1_000, 1_000_000),
        (Field::EpochMicro, Field::NanoOfMicro, 1_000_000, 1_000),
    ];
    let Some((unit, rest, per_second, nanos_each)) = units.into_iter().find(|(unit, ..)| fields.has(*unit)) else {
        return Some(false);
    };
    let count = fields.remove(unit)?;
    let rest = fields.remove(rest).unwrap_or(0);
    let negative = fields.remove(Field::EpochSign) == Some(0);
    let (mut seconds, mut nanos) = (count / per_second, count % per_second * nanos_each + rest);
    if negative {
        (seconds, nanos) = (-seconds, -nanos);
        if nanos != 0 {
            (seconds, nanos) = (seconds - 1, nanos + 1_000_000_000);
        }
    }
    fields.set(Field::InstantSeconds, seconds);
    fields.set(Field::Nano, nanos);
    Some(true)
}
