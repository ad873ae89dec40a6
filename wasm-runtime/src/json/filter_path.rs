//! `filter_path`: answers reduced the way OpenSearch reduces them, for bodies that the proxy put together itself.

use crate::json::lex::{Entries, skip_value, skip_ws, unescape};
use crate::json::lookup::elements;

/// `text` reduced by OpenSearch's `filter_path` patterns: dotted, `*` within a name, `**` for any depth, `-` excludes.
///
/// An empty result is `{}`, as the cluster answers.
pub(crate) fn filter_path(text: &[u8], patterns: &[String]) -> Vec<u8> {
    let split = |p: &str| p.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (excludes, includes): (Vec<_>, Vec<_>) =
        patterns.iter().filter(|p| !p.is_empty()).partition(|p| p.starts_with('-'));
    let includes: Vec<_> = includes.iter().map(|p| split(p)).collect();
    let excludes: Vec<_> = excludes.iter().map(|p| split(&p[1..])).collect();
    let include_refs: Option<Vec<&[String]>> =
        (!includes.is_empty()).then(|| includes.iter().map(Vec::as_slice).collect());
    let exclude_refs: Vec<&[String]> = excludes.iter().map(Vec::as_slice).collect();
    let start = skip_ws(text, 0);
    let mut out = Vec::with_capacity(text.len() / 2);
    if !filter_value(text, start, include_refs.as_deref(), &exclude_refs, &mut out) {
        out.clear();
        out.extend_from_slice(b"{}");
    }
    out
}

/// Writes what is left of the value at `start`; false if nothing is. `includes == None`: all of it.
fn filter_value(
    text: &[u8],
    start: usize,
    includes: Option<&[&[String]]>,
    excludes: &[&[String]],
    out: &mut Vec<u8>,
) -> bool {
    let end = skip_value(text, start).unwrap_or(text.len());
    let open = text[start];
    if includes.is_none() && excludes.is_empty() {
        out.extend_from_slice(&text[start..end]);
        return true;
    }
    if open != b'{' && open != b'[' {
        if includes.is_some() {
            return false;
        }
        out.extend_from_slice(&text[start..end]);
        return true;
    }
    out.push(open);
    let before = out.len();
    let separate = |out: &mut Vec<u8>| -> usize {
        let mark = out.len();
        if mark > before {
            out.push(b',');
        }
        mark
    };
    if open == b'[' {
        for element in elements(text, start) {
            let mark = separate(out);
            if !filter_value(text, element.start, includes, excludes, out) {
                out.truncate(mark);
            }
        }
    } else {
        for entry in Entries::new(text, start).into_iter().flatten() {
            let Some(key) = unescape(&text[entry.key.clone()]) else { continue };
            let (excluded, deeper_excludes) = advance(excludes, &key);
            if excluded {
                continue;
            }
            let (included, deeper_includes) = includes.map_or((true, vec![]), |i| advance(i, &key));
            if !included && deeper_includes.is_empty() {
                continue;
            }
            let mark = separate(out);
            out.extend_from_slice(&text[entry.key.start - 1..entry.key.end + 1]);
            out.push(b':');
            let next = (!included).then_some(deeper_includes.as_slice());
            if !filter_value(text, entry.value.start, next, &deeper_excludes, out) {
                out.truncate(mark);
            }
        }
    }
    if out.len() == before {
        // What patterns reach into and leave nothing of is left out, also where nothing was (measured on 3.8.0).
        return false;
    }
    out.push(if open == b'{' { b'}' } else { b']' });
    true
}

/// The rest of each pattern behind `key`, and whether one is fulfilled by it.
fn advance<'p>(patterns: &[&'p [String]], key: &str) -> (bool, Vec<&'p [String]>) {
    let mut full = false;
    let mut rest = Vec::new();
    for &pattern in patterns {
        let Some((first, tail)) = pattern.split_first() else { continue };
        if first == "**" {
            rest.push(pattern);
            let (f, mut r) = advance(&[tail], key);
            full |= f || tail.is_empty();
            rest.append(&mut r);
        } else if wildcard(first, key) {
            if tail.is_empty() {
                full = true;
            } else {
                rest.push(tail);
            }
        }
    }
    (full, rest)
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters; linear in practice, no recursion.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    let (p, t) = (pattern.as_bytes(), text.as_bytes());
    let (mut pi, mut ti) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while ti < t.len() {
        if pi < p.len() && p[pi] == b'*' {
            retry = Some((pi + 1, ti));
            pi += 1;
        } else if pi < p.len() && p[pi] == t[ti] {
            pi += 1;
            ti += 1;
        } else if let Some((after_star, from)) = retry {
            pi = after_star;
            ti = from + 1;
            retry = Some((after_star, ti));
        } else {
            return false;
        }
    }
    p[pi..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(v: Vec<u8>) -> String {
        String::from_utf8(v).expect("utf-8")
    }

    #[test]
    fn filter_path_as_logstash_sends_it() {
        let answer = br#"{"took":1,"errors":true,"items":[{"index":{"status":201}},{"index":{"error":{"type":"x"},"status":400}}]}"#;
        let p = |s: &str| s.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            text(filter_path(answer, &p("errors,items.*.error,items.*.status"))),
            r#"{"errors":true,"items":[{"index":{"status":201}},{"index":{"error":{"type":"x"},"status":400}}]}"#
        );
        assert_eq!(
            text(filter_path(answer, &p("items.*.error.type"))),
            r#"{"items":[{"index":{"error":{"type":"x"}}}]}"#
        );
        assert_eq!(text(filter_path(answer, &p("**.type"))), r#"{"items":[{"index":{"error":{"type":"x"}}}]}"#);
        assert_eq!(text(filter_path(answer, &p("-items"))), r#"{"took":1,"errors":true}"#);
        assert_eq!(text(filter_path(answer, &p("nothing"))), "{}");
    }

    #[test]
    fn what_is_empty_stays_only_where_no_pattern_reaches() {
        let answer = br#"{"a":[],"b":{},"c":{"x":[],"z":1},"d":[{"z":1}]}"#;
        let p = |s: &str| s.split(',').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(text(filter_path(answer, &p("-**.z"))), "{}");
        assert_eq!(text(filter_path(answer, &p("-c.z"))), r#"{"a":[],"b":{},"c":{"x":[]},"d":[{"z":1}]}"#);
        assert_eq!(text(filter_path(answer, &p("-d.z"))), r#"{"a":[],"b":{},"c":{"x":[],"z":1}}"#);
        assert_eq!(text(filter_path(answer, &p("a,c.x"))), r#"{"a":[],"c":{"x":[]}}"#);
    }
}
