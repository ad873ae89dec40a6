//! Numbers and fractions of seconds.

use super::super::calendar::weeks::Weeks;
use super::super::pattern::{Field, Fraction, Number, Sign};
use super::{Reader, Step, Stop};

/// Digits that always fit into 64 bits.
const SAFE: usize = 18;

/// The value of digits, and how many of them fit into Java's longest number.
fn value(digits: &[u8]) -> (i64, usize) {
    let number = |digits: &[u8]| digits.iter().fold(0i128, |sum, b| sum * 10 + i128::from(b - b'0'));
    if digits.len() <= SAFE {
        return (digits.iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0')), digits.len());
    }
    match i64::try_from(number(digits)) {
        Ok(value) => (value, digits.len()),
        Err(_) => (i64::try_from(number(&digits[..digits.len() - 1])).unwrap_or(i64::MAX), digits.len() - 1),
    }
}

fn digits(text: &[u8], most: usize) -> usize {
    text.iter().take(most).take_while(|b| b.is_ascii_digit()).count()
}

impl Reader<'_> {
    pub(super) fn number(&mut self, number: Number, text: &str, mut at: usize) -> Step {
        let bytes = text.as_bytes();
        let sign = bytes.get(at).ok_or(Stop::Differs)?;
        let (negative, positive) = (*sign == b'-', *sign == b'+');
        let signed = match number.sign {
            Sign::Normal => negative,
            Sign::ExceedsPad => negative || positive,
            Sign::NotNegative | Sign::Never => false,
        };
        if (negative || positive) && !signed {
            return Err(Stop::Differs);
        }
        at += usize::from(signed);
        let rest = bytes.get(at..).unwrap_or_default();
        let mut found = digits(rest, number.most + number.behind);
        if found < number.least {
            return Err(Stop::Differs);
        }
        if number.behind > 0 {
            // What stands right behind takes its digits from the end.
            found = found.min(number.least.max(found.saturating_sub(number.behind)));
        }
        let (mut value, found) = value(&rest[..found]);
        if negative {
            if value == 0 {
                return Err(Stop::Differs);
            }
            value = -value;
        } else if number.sign == Sign::ExceedsPad && positive == (found <= number.least) {
            return Err(Stop::Differs);
        }
        if number.reduced && found == number.least {
            value = self.since(number.field, value);
        }
        self.set(number.field, value, at + found)
    }

    /// The year from 2000 on that ends with two digits; years of weeks start with the one of its first day.
    fn since(&self, field: Field, two: i64) -> i64 {
        let base = if field == Field::WeekYear { base(self.parsed.locale.weeks) } else { 2000 };
        let value = base - base % 100 + two;
        if value < base { value + 100 } else { value }
    }

    pub(super) fn fraction(&mut self, fraction: Fraction, text: &str, mut at: usize) -> Step {
        let bytes = text.as_bytes();
        let absent = |at| if fraction.least > 0 { Err(Stop::Differs) } else { Ok(at) };
        if at == bytes.len() {
            return absent(at);
        }
        if fraction.point {
            if bytes[at] != b'.' {
                return absent(at);
            }
            at += 1;
        }
        let found = digits(&bytes[at..], fraction.most);
        if found < fraction.least {
            return Err(Stop::Differs);
        }
        let (read, _) = value(&bytes[at..at + found]);
        let range: i64 = match fraction.field {
            Field::NanoOfMilli => 1_000_000,
            Field::NanoOfMicro => 1_000,
            _ => 1_000_000_000,
        };
        let scale = (0..found).fold(1i64, |scale, _| scale * 10);
        self.set(fraction.field, read * range / scale, at + found)
    }
}

/// The year of the week of 2000-01-01.
fn base(weeks: Weeks) -> i64 {
    weeks.year_and_week(10_957).0
}
