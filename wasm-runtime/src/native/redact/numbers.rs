//! Numbers with a checksum or a plan: payment cards, bank accounts, phones.

use phonenumber::metadata::{DATABASE, Descriptors};

use super::text::{Candidate, at, before, is_word};

/// The least and most digits of a card (ISO/IEC 7812-1) of the issuers that are known here.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 14..=19;

/// How people group the digits of a card, the longest first.
const CARD_GROUPS: [&[usize]; 4] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4]];

/// The digits of groups with one sign between them, and where each group ends.
struct Groups {
    digits: Vec<u8>,
    /// (Number of digits, end in the text) of each.
    groups: Vec<(usize, usize)>,
    separator: u8,
}

/// Reads groups of digits from `start` on, as many as a card has at most; further ones are left.
fn groups(bytes: &[u8], start: usize) -> Groups {
    let mut found = Groups { digits: Vec::with_capacity(20), groups: Vec::new(), separator: at(bytes, start) };
    let mut position = start;
    while found.groups.len() < 6 && found.digits.len() <= *CARD_DIGITS.end() {
        let len = bytes[position..].iter().take(20).position(|byte| !byte.is_ascii_digit());
        let end = position + len.unwrap_or_else(|| (bytes.len() - position).min(20));
        found.digits.extend(bytes[position..end].iter().map(|byte| byte - b'0'));
        found.groups.push((end - position, end));
        let sign = at(bytes, end);
        if found.groups.len() == 1 {
            found.separator = sign;
        }
        if !matches!(sign, b' ' | b'-') || sign != found.separator || !at(bytes, end + 1).is_ascii_digit() {
            break;
        }
        position = end + 1;
    }
    found
}

/// The number of a payment card whose first digit is at `start`.
pub(super) fn card(bytes: &[u8], start: usize) -> Candidate {
    let previous = before(bytes, start);
    if is_word(previous) || matches!(previous, b'.' | b'-' | b'+' | b'#') || !matches!(bytes[start], b'2'..=b'6') {
        return None;
    }
    let number = groups(bytes, start);
    let (first, end) = number.groups[0];
    if CARD_DIGITS.contains(&first) {
        return is_card(&number.digits[..first], bytes, end).then_some((start..end, 0.6));
    }
    let grouped = CARD_GROUPS.iter().find_map(|form| {
        let fits =
            number.groups.len() >= form.len() && form.iter().zip(&number.groups).all(|(len, (have, _))| len == have);
        let end = fits.then(|| number.groups[form.len() - 1].1)?;
        is_card(&number.digits[..form.iter().sum()], bytes, end).then_some(end)
    });
    grouped.map(|end| (start..end, 0.85))
}

/// Whether digits that end at `end` are those of a card, and nothing goes on behind them.
fn is_card(digits: &[u8], bytes: &[u8], end: usize) -> bool {
    let (next, then) = (at(bytes, end), at(bytes, end + 1));
    let goes_on =
        is_word(next) || (next == b'-' && then.is_ascii_alphanumeric()) || (next == b'.' && then.is_ascii_digit());
    !goes_on && is_issued(digits) && luhn(digits) && digits.iter().any(|digit| digit != &digits[0])
}

/// Whether prefix and length are those of an issuer (the registries of the card networks).
fn is_issued(digits: &[u8]) -> bool {
    let prefix = |count: usize| digits[..count].iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    match digits.len() {
        14 => (300..=305).contains(&three) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37),
        16 => {
            digits[0] == 4
                || (51..=55).contains(&two)
                || (2221..=2720).contains(&four)
                || (2200..=2204).contains(&four)
                || four == 6011
                || two == 65
                || (644..=649).contains(&three)
                || (3528..=3589).contains(&four)
                || two == 62
        }
        19 => digits[0] == 4 || two == 62 || four == 6011,
        _ => two == 62,
    }
}

/// Luhn's checksum (ISO/IEC 7812-1, annex B).
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(start, digit)| {
            let doubled = if start % 2 == 1 { digit * 2 } else { *digit };
            u32::from(if doubled > 9 { doubled - 9 } else { doubled })
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Lengths of account numbers by country (the registry of ISO 13616 that SWIFT keeps).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// An account number that begins at `start`, in one piece or in groups of four.
pub(super) fn iban(bytes: &[u8], start: usize) -> Candidate {
    let head = bytes.get(start..start + 4)?;
    let fits = head[..2].iter().all(u8::is_ascii_uppercase) && head[2..].iter().all(u8::is_ascii_digit);
    if !fits || is_word(before(bytes, start)) || matches!(before(bytes, start), b'-' | b'/' | b'.') {
        return None;
    }
    let length = IBAN_LENGTHS.iter().find(|(country, _)| *country == &head[..2])?.1;
    let (mut number, mut end, mut spaced) = (Vec::with_capacity(length), start, None);
    while number.len() < length {
        let byte = at(bytes, end);
        if number.len() == 4 && spaced.is_none() {
            spaced = Some(byte == b' ');
        }
        if spaced == Some(true) && byte == b' ' && number.len().is_multiple_of(4) && before(bytes, end) != b' ' {
            end += 1;
        } else if byte.is_ascii_uppercase() || byte.is_ascii_digit() {
            number.push(byte);
            end += 1;
        } else {
            return None;
        }
    }
    (!is_word(at(bytes, end)) && remainder(&number) == 1).then_some((start..end, 0.95))
}

/// The remainder by 97 of an account number as a number, its first four signs at the end (ISO 7064).
fn remainder(number: &[u8]) -> u32 {
    number[4..].iter().chain(&number[..4]).fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
    })
}

/// A phone number in international form whose `+` is at `start`.
pub(super) fn phone(bytes: &[u8], start: usize) -> Candidate {
    /// Digits of the longest number, with its country code (E.164).
    const MOST: usize = 15;
    /// Signs between two digits.
    const SIGNS: usize = 2;
    if is_word(before(bytes, start)) || matches!(before(bytes, start), b'+' | b'.' | b'/' | b'=') {
        return None;
    }
    let (mut number, mut count, mut signs) = ([0_u8; MOST + 1], 0, 0);
    // Where the number may end: behind each group of digits, with as many as are before it.
    let mut ends: Vec<(usize, usize)> = Vec::new();
    for (offset, byte) in bytes[start + 1..].iter().enumerate() {
        let position = start + 1 + offset;
        if byte.is_ascii_digit() {
            if count > MOST {
                break;
            }
            number[count] = *byte;
            (count, signs) = (count + 1, 0);
            if !at(bytes, position + 1).is_ascii_digit() {
                ends.push((position + 1, count));
            }
        } else {
            signs += 1;
            if !matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'/') || signs > SIGNS {
                break;
            }
            // The national prefix, which nobody dials from abroad: `+44 (0)20`.
            if bytes[..=position].ends_with(b"(0)") {
                count -= 1;
            }
        }
    }
    let found = ends.into_iter().rev().find(|(end, count)| {
        let number = std::str::from_utf8(&number[..*count]).unwrap_or_default();
        (8..=MOST).contains(count) && !is_word(at(bytes, *end)) && is_in_use(number)
    });
    found.map(|(end, _)| (start..end, 0.85))
}

/// Whether a number with its country code is one of a country's plan (the metadata of libphonenumber).
fn is_in_use(number: &str) -> bool {
    (1..=3).any(|len| {
        let (code, national) = number.split_at(len);
        let regions = code.parse::<u16>().ok().and_then(|code| DATABASE.by_code(&code)).unwrap_or_default();
        regions.iter().any(|region| is_in_plan(region.descriptors(), national))
    })
}

/// Whether a national number is of one of the types that people are called by.
fn is_in_plan(plan: &Descriptors, national: &str) -> bool {
    let types = [
        plan.fixed_line(),
        plan.mobile(),
        plan.voip(),
        plan.toll_free(),
        plan.personal_number(),
        plan.uan(),
        plan.pager(),
    ];
    let others = [plan.premium_rate(), plan.shared_cost()];
    plan.general().is_match(national) && types.iter().chain(&others).flatten().any(|kind| kind.is_match(national))
}
