//! How sure a finding is: what its check says, raised or lowered by the words before it and by the name of its field.

use super::detectors::Detector;

/// Bytes before a finding whose words count.
const WINDOW: usize = 30;
/// What a word nearby changes.
const STEP: f64 = 0.3;

/// Words that say that a number is one of a card, a phone and so on.
fn expected(detector: Detector) -> &'static [&'static str] {
    match detector {
        Detector::CreditCard => &[
            "card",
            "cards",
            "cc",
            "pan",
            "visa",
            "mastercard",
            "amex",
            "discover",
            "jcb",
            "credit",
            "debit",
            "payment",
            "paid",
            "pay",
            "karte",
            "kreditkarte",
            "carte",
            "tarjeta",
        ],
        Detector::Phone => &[
            "phone",
            "tel",
            "telephone",
            "mobile",
            "cell",
            "call",
            "called",
            "fax",
            "sms",
            "whatsapp",
            "contact",
            "msisdn",
            "telefon",
            "handy",
        ],
        Detector::Ip => &["ip", "client", "remote", "host", "addr", "address", "peer", "from"],
        Detector::Mac => &["mac", "hwaddr", "ether", "bssid"],
        _ => &[],
    }
}

/// Words that say that a number is one of something else.
fn otherwise(detector: Detector) -> &'static [&'static str] {
    match detector {
        Detector::Ip => &["build", "firmware", "oid", "release", "rev", "revision", "ver", "version"],
        _ => &[
            "barcode",
            "build",
            "bytes",
            "checksum",
            "count",
            "digest",
            "duration",
            "ean",
            "epoch",
            "firmware",
            "guid",
            "hash",
            "id",
            "ids",
            "imei",
            "invoice",
            "isbn",
            "messageid",
            "micros",
            "millis",
            "nanos",
            "offset",
            "oid",
            "order",
            "orders",
            "parcel",
            "release",
            "request",
            "rev",
            "revision",
            "seq",
            "sequence",
            "serial",
            "session",
            "sha",
            "shipment",
            "size",
            "sku",
            "sn",
            "span",
            "time",
            "timestamp",
            "trace",
            "tracking",
            "transaction",
            "ts",
            "txn",
            "upc",
            "uuid",
            "ver",
            "version",
        ],
    }
}

/// Words that stand between a name and its number.
const BETWEEN: [&str; 6] = ["number", "no", "nr", "num", "is", "was"];
/// Bytes between a word and the finding that it names: a sign and spaces.
const GAP: usize = 4;

/// The confidence `base` of a finding at `start` of `text`, in a field of this name.
///
/// The word right before it decides that it is something else; one within WINDOW that it is what it looks like. Where the text
/// says nothing, the name of the field does.
pub(super) fn in_context(base: f64, detector: Detector, text: &str, start: usize, key: &str) -> f64 {
    let (expected, otherwise) = (expected(detector), otherwise(detector));
    if expected.is_empty() {
        return base;
    }
    let mut from = start.saturating_sub(WINDOW);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let (mut raised, mut lowered, mut end) = (false, false, 0);
    words(&text[from..start], &mut |word, behind| {
        if BETWEEN.contains(&word) {
            end = behind;
            return;
        }
        raised |= expected.contains(&word);
        lowered = otherwise.contains(&word);
        end = behind;
    });
    lowered &= start - from - end <= GAP;
    if !raised && !lowered {
        words(key, &mut |word, _| {
            raised |= expected.contains(&word);
            lowered |= otherwise.contains(&word);
        });
        lowered &= !raised;
    }
    let step = if lowered { -STEP } else { f64::from(u8::from(raised)) * STEP };
    (base + step).clamp(0.0, 1.0)
}

/// The words of a text in small letters, and where they end: runs of ASCII letters, divided where `camelCase` is.
fn words(text: &str, note: &mut impl FnMut(&str, usize)) {
    /// Letters of the longest word of the lists.
    const LONGEST: usize = 12;
    let (mut word, mut len, mut small) = ([0_u8; LONGEST], 0, false);
    let mut end = |word: &[u8; LONGEST], len: usize, at: usize| {
        if len > 0 {
            note(std::str::from_utf8(&word[..len.min(LONGEST)]).unwrap_or_default(), at);
        }
    };
    for (at, byte) in text.bytes().enumerate() {
        if !byte.is_ascii_alphabetic() || (byte.is_ascii_uppercase() && small) {
            end(&word, len, at);
            len = 0;
        }
        if byte.is_ascii_alphabetic() {
            if len < LONGEST {
                word[len] = byte.to_ascii_lowercase();
            }
            len += 1;
        }
        small = byte.is_ascii_lowercase();
    }
    end(&word, len, text.len());
}
