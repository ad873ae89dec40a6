//! Addresses: e-mail, IPv4, IPv6, hardware.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::text::{Candidate, at, before, is_word};

/// Bytes of the longest local part and the longest domain (RFC 5321, section 4.5.3.1).
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 253;
/// Bytes of the longest text form of an IPv6 address.
const LONGEST_IPV6: usize = 45;
/// Ends of names of files that follow an `@` in other notations (`logo@2x.png`), and are no top-level domains.
const FILES: [&[u8]; 22] = [
    b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"ico", b"js", b"css", b"json", b"html", b"htm", b"txt", b"ts",
    b"tsx", b"jsx", b"yaml", b"yml", b"xml", b"log", b"jar", b"gz",
];

/// An e-mail address around the `@` at `sign`; its local part begins at `done` at the earliest.
pub(super) fn email(bytes: &[u8], sign: usize, done: usize) -> Candidate {
    let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b"._%+-'".contains(&byte);
    let least = done.max(sign.saturating_sub(LONGEST_LOCAL));
    let mut start = sign;
    while start > least && is_local(bytes[start - 1]) {
        start -= 1;
    }
    while start < sign && b".-+'%".contains(&bytes[start]) {
        start += 1;
    }
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    let most = (sign + 1 + LONGEST_DOMAIN).min(bytes.len());
    let mut end = sign + 1;
    while end < most && is_domain(bytes[end]) {
        end += 1;
    }
    while end > sign + 1 && matches!(bytes[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let (local, domain) = (&bytes[start..sign], &bytes[sign + 1..end]);
    if local.is_empty() || local.ends_with(b".") || (local == b"git" && at(bytes, end) == b':') || !is_host(domain) {
        return None;
    }
    Some((start..end, 0.9))
}

/// Whether labels form the name of a host with a top-level domain.
fn is_host(domain: &[u8]) -> bool {
    let mut labels = domain.split(|byte| *byte == b'.');
    let Some(last) = labels.next_back() else { return false };
    let top = last.iter().all(u8::is_ascii_alphabetic) && (2..=24).contains(&last.len()) || last.starts_with(b"xn--");
    let file = FILES.iter().any(|file| last.eq_ignore_ascii_case(file));
    let mut others = 0;
    for label in labels {
        if label.is_empty() || label.len() > 63 || label[0] == b'-' || label[label.len() - 1] == b'-' {
            return false;
        }
        others += 1;
    }
    top && !file && others > 0
}

/// An IPv4 address whose first digit is at `start`, or an IPv6 address.
pub(super) fn ip(text: &str, start: usize) -> Candidate {
    ipv4(text, start).or_else(|| ipv6(text, start))
}

fn ipv4(text: &str, start: usize) -> Candidate {
    let bytes = text.as_bytes();
    if is_word(before(bytes, start)) || before(bytes, start) == b'.' {
        return None;
    }
    let longest = &bytes[start..(start + 16).min(bytes.len())];
    let len = longest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(longest.len());
    let mut end = start + len;
    if bytes[end - 1] == b'.' {
        end -= 1;
    }
    if is_word(at(bytes, end)) || (at(bytes, end) == b'.' && at(bytes, end + 1).is_ascii_digit()) {
        return None;
    }
    let address: Ipv4Addr = text[start..end].parse().ok()?;
    let [first, second, ..] = address.octets();
    let meaningless = address.is_loopback() || address.is_unspecified() || address.is_broadcast();
    if meaningless || (first, second) == (255, 255) || first == 0 || is_product(bytes, start) {
        return None;
    }
    Some((start..end, 0.75))
}

/// Whether the number at `start` is the version of a product, as `Chrome/120.0.0.0` (RFC 9110, section 10.1.5).
fn is_product(bytes: &[u8], start: usize) -> bool {
    if before(bytes, start) != b'/' {
        return false;
    }
    let name = bytes[..start - 1].iter().rposition(|byte| !byte.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
    name < start - 1 && !matches!(before(bytes, name), b'/' | b'.' | b'-' | b'_' | b':')
}

/// An IPv6 address that begins at `start`.
pub(super) fn ipv6(text: &str, start: usize) -> Candidate {
    let bytes = text.as_bytes();
    let starts = bytes[start].is_ascii_hexdigit() || bytes[start..].starts_with(b"::");
    if !starts || is_word(before(bytes, start)) || matches!(before(bytes, start), b':' | b'.') {
        return None;
    }
    let longest = &bytes[start..(start + LONGEST_IPV6 + 1).min(bytes.len())];
    // Most words are none: the first colon is near.
    if !longest.iter().take(5).any(|byte| *byte == b':') {
        return None;
    }
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let mut end = start + longest.iter().position(|byte| !is_part(byte)).unwrap_or(longest.len());
    while end > start && (bytes[end - 1] == b'.' || (bytes[end - 1] == b':' && !bytes[..end].ends_with(b"::"))) {
        end -= 1;
    }
    if end == start || is_word(at(bytes, end)) {
        return None;
    }
    let address: Ipv6Addr = text[start..end].parse().ok()?;
    let groups = text[start..end].split(':').filter(|group| !group.is_empty()).count();
    if address.is_loopback() || address.is_unspecified() || groups < 2 {
        return None;
    }
    Some((start..end, 0.85))
}

/// A hardware address of six pairs of hexadecimal digits that begins at `start`.
pub(super) fn mac(bytes: &[u8], start: usize) -> Candidate {
    const LEN: usize = 17;
    let separator = at(bytes, start + 2);
    let address = bytes.get(start..start + LEN)?;
    if !matches!(separator, b':' | b'-') || is_word(before(bytes, start)) || before(bytes, start) == separator {
        return None;
    }
    let is_pair = |pair: &[u8]| pair[0].is_ascii_hexdigit() && pair[1].is_ascii_hexdigit();
    let whole = address.chunks(3).all(|part| is_pair(part) && part.get(2).is_none_or(|sign| *sign == separator));
    let end = start + LEN;
    let longer = is_word(at(bytes, end)) || (at(bytes, end) == separator && at(bytes, end + 1).is_ascii_hexdigit());
    let digit = |byte: &u8| *byte == b'0' || *byte == separator;
    if !whole
        || longer
        || address.iter().all(digit)
        || address.iter().all(|byte| byte | 0x20 == b'f' || *byte == separator)
    {
        return None;
    }
    Some((start..end, 0.9))
}
