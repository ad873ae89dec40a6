//! How sure a finding is: what its check says, raised or lowered by the words before it and by the name of its field.

use super::detectors::Detector;

/// Bytes before a finding whose words count.
const WINDOW: usize = 30;
/// What a word nearby changes.
const STEP: f64 = 0.3;

/// Words that say that a number is one of a card.
const CARDS: &[&str] = &[
    "amex",
    "card",
    "cards",
    "carte",
    "cc",
    "credit",
    "debit",
    "discover",
    "jcb",
    "karte",
    "kreditkarte",
    "mastercard",
    "paid",
    "pan",
    "pay",
    "payment",
    "tarjeta",
    "visa",
];
/// Words that say that a number is one of a phone.
const PHONES: &[&str] = &[
    "call",
    "called",
    "cell",
    "contact",
    "fax",
    "handy",
    "mobile",
    "msisdn",
    "phone",
    "sms",
    "tel",
    "telefon",
    "telephone",
    "whatsapp",
];
/// Words that say that an address follows.
const HOSTS: &[&str] = &["addr", "address", "client", "from", "host", "ip", "peer", "remote"];
const HARDWARE: &[&str] = &["bssid", "ether", "hwaddr", "mac"];
/// Words that say that four numbers are a version.
const VERSIONS: &[&str] = &["build", "firmware", "oid", "release", "rev", "revision", "ver", "version"];
/// Words that say that a number is one of something else.
const NUMBERS: &[&str] = &[
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
];

/// Words that say that something is what it looks like, and words that say that it is something else; none for what has a check that
/// no other text passes.
fn vocabulary(detector: Detector) -> (&'static [&'static str], &'static [&'static str]) {
    match detector {
        Detector::CreditCard => (CARDS, NUMBERS),
        Detector::Phone => (PHONES, NUMBERS),
        Detector::Ip => (HOSTS, VERSIONS),
        Detector::Mac => (HARDWARE, NUMBERS),
        _ => (&[], &[]),
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
    let (expected, otherwise) = vocabulary(detector);
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
