//! Positions in brackets: `a[0].b` is another way to write `a.0.b`, in options and in UDFs, not in a document's values.

use std::borrow::Cow;

/// The path with dots only. What is in brackets and is no number belongs to a name.
pub(crate) fn dotted(path: &str) -> Cow<'_, str> {
    if !path.contains('[') {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(open) = rest.find('[') {
        let (before, behind) = rest.split_at(open);
        out.push_str(before);
        match position(behind) {
            Some(digits) => {
                if !out.is_empty() && !out.ends_with('.') {
                    out.push('.');
                }
                out.push_str(digits);
                rest = &behind[digits.len() + 2..];
            }
            None => {
                out.push('[');
                rest = &behind[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The digits of `[12]` where a part of a path may end behind it.
fn position(text: &str) -> Option<&str> {
    let (digits, behind) = text.strip_prefix('[')?.split_once(']')?;
    let ends = behind.is_empty() || behind.starts_with(['.', '[']);
    (ends && !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_positions_are_parts_of_a_path() {
        for (path, plain) in [
            ("a[0].b", "a.0.b"),
            ("l[1][20]", "l.1.20"),
            ("[3]", "3"),
            ("a.[3]", "a.3"),
            ("a[]", "a[]"),
            ("a[b]", "a[b]"),
            ("a[1]b", "a[1]b"),
            ("[10/Oct/2000:13:55:36 -0700]", "[10/Oct/2000:13:55:36 -0700]"),
            ("{k=[p, q]}", "{k=[p, q]}"),
            ("a[", "a["),
            ("a]", "a]"),
            ("é[0]", "é.0"),
        ] {
            assert_eq!(dotted(path), plain, "{path}");
        }
    }
}
