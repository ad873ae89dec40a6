//! The detectors by name, and a set of them.

use schemars::JsonSchema;
use serde::Deserialize;

/// What a finding is.
#[derive(Debug, Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Detector {
    /// An e-mail address.
    Email,
    /// The number of a payment card: prefix and length of an issuer, and Luhn's checksum (ISO/IEC 7812-1).
    CreditCard,
    /// An international bank account number: length by country, and its checksum (ISO 13616).
    Iban,
    /// A phone number in international form, by the numbering plan of its country.
    Phone,
    /// An IPv4 or IPv6 address that is not loopback or unspecified.
    Ip,
    /// A hardware address of 48 bits.
    Mac,
    /// A JSON Web Token (RFC 7519).
    Jwt,
    /// An access key or token of a service, by its prefix, length and checksum, and private keys in PEM.
    SecretKey,
    /// A text of `deny`.
    #[serde(skip)]
    Denied,
}

/// All detectors that options may name.
pub(super) const ALL: [Detector; 8] = [
    Detector::Email,
    Detector::CreditCard,
    Detector::Iban,
    Detector::Phone,
    Detector::Ip,
    Detector::Mac,
    Detector::Jwt,
    Detector::SecretKey,
];

impl Detector {
    /// Its name in options, masks and reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::CreditCard => "credit_card",
            Self::Iban => "iban",
            Self::Phone => "phone",
            Self::Ip => "ip",
            Self::Mac => "mac",
            Self::Jwt => "jwt",
            Self::SecretKey => "secret_key",
            Self::Denied => "denied",
        }
    }
}

/// A set of detectors.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Detectors(u16);

impl Detectors {
    pub(super) fn of(detectors: &[Detector]) -> Self {
        Self(detectors.iter().fold(0, |set, detector| set | 1 << *detector as u16))
    }

    pub(super) fn has(self, detector: Detector) -> bool {
        self.0 & 1 << detector as u16 != 0
    }
}
