//! What stands in place of a finding.

use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;

use super::detectors::Detector;

/// Bytes that the mask and the secret may have: they are written, or hashed, for every finding.
const LONGEST: usize = 1024;

#[derive(Deserialize, JsonSchema, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    /// The text of `mask`.
    #[default]
    Mask,
    /// 16 hexadecimal digits of the HMAC-SHA-256 under `secret`: equal values stay equal.
    Hash,
    /// Nothing.
    Remove,
    /// Other digits and letters in the same form, by `secret`: equal values stay equal.
    Token,
}

/// What stands in place of a finding.
#[derive(Default)]
pub(super) struct Replacement {
    action: Action,
    mask: String,
    keep_last: usize,
    secret: String,
}

impl Replacement {
    /// # Errors
    /// Which option is wrong, and why.
    pub(super) fn new(action: Action, mask: &str, keep_last: usize, secret: &str) -> Result<Self, String> {
        if mask.len() > LONGEST || secret.len() > LONGEST {
            return Err(format!("[mask] and [secret] may have {LONGEST} bytes each"));
        }
        if matches!(action, Action::Hash | Action::Token) && secret.is_empty() {
            return Err(
                "[secret] is needed for the actions [hash] and [token]: without one, values can be guessed".to_owned()
            );
        }
        Ok(Self { action, mask: mask.to_owned(), keep_last, secret: secret.to_owned() })
    }

    /// Writes what stands in place of `found` to `out`.
    pub(super) fn write(&self, found: &str, detector: Detector, out: &mut String) {
        match self.action {
            Action::Remove => {}
            Action::Mask => {
                out.push_str(&self.mask.replace("{type}", detector.name()));
                let chars = found.chars().count();
                out.extend(found.chars().skip(chars - self.keep_last.min(chars / 2)));
            }
            Action::Hash => {
                for byte in &self.digest(found, detector, 0)[..8] {
                    out.push_str(&format!("{byte:02x}"));
                }
            }
            Action::Token => self.write_token(found, detector, out),
        }
    }

    fn digest(&self, found: &str, detector: Detector, block: u32) -> [u8; 32] {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()) else { return [0; 32] };
        mac.update(detector.name().as_bytes());
        mac.update(&block.to_le_bytes());
        mac.update(found.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Digits become digits, letters become letters, everything else stays.
    fn write_token(&self, found: &str, detector: Detector, out: &mut String) {
        let (mut stream, mut used, mut block) = (self.digest(found, detector, 0), 0, 0);
        for c in found.chars() {
            let (first, count) = match c {
                '0'..='9' => (b'0', 10),
                'a'..='z' => (b'a', 26),
                'A'..='Z' => (b'A', 26),
                _ => {
                    out.push(c);
                    continue;
                }
            };
            // Two bytes for each: the remainders of one would prefer some signs.
            if used + 2 > stream.len() {
                block += 1;
                (stream, used) = (self.digest(found, detector, block), 0);
            }
            let number = u16::from_le_bytes([stream[used], stream[used + 1]]) % count;
            out.push(char::from(first + u8::try_from(number).unwrap_or_default()));
            used += 2;
        }
    }
}
