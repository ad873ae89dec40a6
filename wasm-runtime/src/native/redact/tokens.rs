//! Tokens and keys of services, JSON Web Tokens, private keys.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::text::{Candidate, before, is_word};

/// Which bytes a key has behind its prefix.
#[derive(Clone, Copy, PartialEq)]
enum Signs {
    /// Digits and letters.
    Plain,
    /// Capital letters and digits from 2 to 7 (RFC 4648, section 6).
    Base32,
    /// Digits and letters, `-` and `_`.
    Url,
    /// Digits and small letters to `f`.
    Hex,
    /// Digits and letters, of which the last six are a checksum of the others.
    Checked,
}

/// A kind of key: its prefix, its signs, and how many there are.
struct Kind {
    prefix: &'static [u8],
    signs: Signs,
    least: usize,
    most: usize,
}

const fn kind(prefix: &'static [u8], signs: Signs, least: usize, most: usize) -> Kind {
    Kind { prefix, signs, least, most }
}

/// Keys by their first byte (the documentation of each service, and the patterns that GitHub's secret scanning publishes).
const KINDS: [Kind; 28] = [
    kind(b"AKIA", Signs::Base32, 16, 16),
    kind(b"ASIA", Signs::Base32, 16, 16),
    kind(b"AIza", Signs::Url, 35, 35),
    kind(b"SG.", Signs::Url, 22, 22),
    kind(b"dop_v1_", Signs::Hex, 64, 64),
    kind(b"ghp_", Signs::Checked, 36, 36),
    kind(b"gho_", Signs::Checked, 36, 36),
    kind(b"ghu_", Signs::Checked, 36, 36),
    kind(b"ghs_", Signs::Checked, 36, 36),
    kind(b"ghr_", Signs::Checked, 36, 36),
    kind(b"github_pat_", Signs::Url, 82, 82),
    kind(b"glpat-", Signs::Url, 20, 20),
    kind(b"hf_", Signs::Plain, 34, 40),
    kind(b"npm_", Signs::Checked, 36, 36),
    kind(b"pypi-AgEIcHlwaS5vcmc", Signs::Url, 50, 200),
    kind(b"rk_live_", Signs::Plain, 24, 107),
    kind(b"rk_test_", Signs::Plain, 24, 107),
    kind(b"sk-ant-", Signs::Url, 80, 120),
    kind(b"sk-proj-", Signs::Url, 40, 200),
    kind(b"sk_live_", Signs::Plain, 24, 107),
    kind(b"sk_test_", Signs::Plain, 24, 107),
    kind(b"shpat_", Signs::Hex, 32, 32),
    kind(b"whsec_", Signs::Plain, 32, 64),
    kind(b"xoxa-", Signs::Url, 20, 255),
    kind(b"xoxb-", Signs::Url, 20, 255),
    kind(b"xoxp-", Signs::Url, 20, 255),
    kind(b"xoxr-", Signs::Url, 20, 255),
    kind(b"xoxs-", Signs::Url, 20, 255),
];

impl Signs {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Plain | Self::Checked => byte.is_ascii_alphanumeric(),
            Self::Base32 => byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7'),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
            Self::Hex => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        }
    }
}

/// An access key that begins at `start`.
pub(super) fn secret_key(bytes: &[u8], start: usize) -> Candidate {
    if !matches!(bytes[start], b'A' | b'S' | b'd' | b'g' | b'h' | b'n' | b'p' | b'r' | b's' | b'w' | b'x')
        || is_word(before(bytes, start))
    {
        return None;
    }
    let text = &bytes[start..];
    let kind = KINDS.iter().find(|kind| text.starts_with(kind.prefix))?;
    let rest = &text[kind.prefix.len()..];
    let mut len = rest.iter().take(kind.most + 1).position(|byte| !kind.signs.has(*byte)).unwrap_or(rest.len());
    if kind.prefix == b"SG." && len == kind.most && rest.get(len) == Some(&b'.') {
        len +=
            1 + rest[len + 1..].iter().take(44).position(|byte| !Signs::Url.has(*byte)).unwrap_or(rest.len() - len - 1);
        return (len == 66).then(|| (start..start + kind.prefix.len() + len, 0.95));
    }
    if !(kind.least..=kind.most).contains(&len) || (kind.signs == Signs::Checked && !is_checked(&rest[..len])) {
        return None;
    }
    Some((start..start + kind.prefix.len() + len, 0.95))
}

/// Whether the last six signs are the CRC-32 of the others in base 62 (GitHub's description of its token formats).
fn is_checked(signs: &[u8]) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (value, check) = signs.split_at(signs.len() - 6);
    let mut number = crc32fast::hash(value) as usize;
    let mut expected = [b'0'; 6];
    for digit in expected.iter_mut().rev() {
        *digit = DIGITS[number % 62];
        number /= 62;
    }
    check == expected
}

/// Bytes of the longest header of a token, and of the longest part behind it: what is looked at again and again has to be short.
const LONGEST_HEADER: usize = 1024;
const LONGEST_PART: usize = 16 << 10;

/// A JSON Web Token that begins at `start`: its header is an object with `alg` (RFC 7515, section 4.1.1).
pub(super) fn jwt(bytes: &[u8], start: usize) -> Candidate {
    if !bytes[start..].starts_with(b"eyJ") || is_word(before(bytes, start)) {
        return None;
    }
    let part_end = |from: usize, longest: usize| {
        let part = &bytes[from..(from + longest).min(bytes.len())];
        from + part.iter().position(|byte| !Signs::Url.has(*byte)).unwrap_or(part.len())
    };
    let head = part_end(start, LONGEST_HEADER);
    if bytes.get(head) != Some(&b'.') {
        return None;
    }
    let claims = part_end(head + 1, LONGEST_PART);
    if claims == head + 1 || bytes.get(claims) != Some(&b'.') {
        return None;
    }
    let header = URL_SAFE_NO_PAD.decode(&bytes[start..head]).ok()?;
    let is_header = memchr::memmem::find(&header, b"\"alg\"").is_some();
    is_header.then(|| (start..part_end(claims + 1, LONGEST_PART), 0.95))
}

/// Bytes of the longest label of a key, `ENCRYPTED PRIVATE KEY` and the like.
const LONGEST_LABEL: usize = 40;

/// A private key in PEM (RFC 7468) whose first dash is at `start`, with all its lines.
pub(super) fn private_key(text: &str, start: usize) -> Candidate {
    let inner = text[start..].strip_prefix("-----BEGIN ")?;
    let label = inner.get(..LONGEST_LABEL.min(inner.len()))?.split("-----").next()?;
    if !label.ends_with("PRIVATE KEY") || label.len() == LONGEST_LABEL {
        return None;
    }
    let end = format!("-----END {label}-----");
    let length = text[start..].find(&end).map_or(text.len() - start, |at| at + end.len());
    Some((start..start + length, 1.0))
}
