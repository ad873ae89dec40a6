//! The elements of a JSON array, told apart by the places of its brackets and commas.

use std::ops::Range;

use crate::json::lex::skip_ws;
use crate::json::lex::trimmed;
use crate::json::scan::structural::StructuralScanner;

/// Elements, and where the closing bracket is, if it is there.
type Elements = (Vec<Range<usize>>, Option<usize>);

/// The elements of the array that starts at `start` (its `[`), as far as it goes.
pub(crate) fn elements(text: &[u8], start: usize) -> Vec<Range<usize>> {
    elements_to_end(text, start).0
}

/// The same, and where the closing bracket is, if it is there.
pub(crate) fn elements_to_end(text: &[u8], start: usize) -> Elements {
    let nested = matches!(text.get(skip_ws(text, start + 1)), Some(b'{' | b'['));
    nested.then(|| containers(text, start)).flatten().unwrap_or_else(|| values(text, start))
}

/// The same of any array.
fn values(text: &[u8], start: usize) -> Elements {
    let mut out = Vec::new();
    let mut depth = 1usize;
    let mut from = start + 1;
    for at in StructuralScanner::<true>::new(text, start + 1) {
        match text[at] {
            b'{' | b'[' => depth += 1,
            b',' if depth == 1 => {
                let first = skip_ws(text, from);
                out.push(first..trimmed(text, at).max(first));
                from = at + 1;
            }
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    let first = skip_ws(text, from);
                    if first < at {
                        out.push(first..trimmed(text, at));
                    }
                    return (out, Some(at));
                }
            }
            _ => {}
        }
    }
    (out, None)
}

/// The same of a whole array that has objects and arrays only, as lists of hits and items are: few of their separators are
/// worth a look.
fn containers(text: &[u8], start: usize) -> Option<Elements> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut depth = 1usize;
    let mut from = start + 1;
    for at in StructuralScanner::<false>::new(text, start + 1) {
        let opens = matches!(text[at], b'{' | b'[');
        if depth == 1 {
            let between = text[from..at].trim_ascii();
            let separated = if opens && !out.is_empty() { between == b"," } else { between.is_empty() };
            if !separated {
                return None;
            }
            if !opens {
                return Some((out, Some(at)));
            }
            out.push(at..at);
        }
        depth = if opens { depth + 1 } else { depth - 1 };
        if depth == 1 {
            out.last_mut()?.end = at + 1;
            from = at + 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_told_apart() {
        for (text, expected) in [
            ("[]", vec![]),
            ("[ ]", vec![]),
            ("[1]", vec!["1"]),
            (" [ 1 , \"a,]\\\"\" ,[2,{\"b\":[]}] , null\n] , 3", vec!["1", "\"a,]\\\"\"", "[2,{\"b\":[]}]", "null"]),
        ] {
            let start = skip_ws(text.as_bytes(), 0);
            let found: Vec<&str> = elements(text.as_bytes(), start).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected);
        }
        let many = format!("[{}]", (0..200).map(|n| format!("{{\"n\":\"{n},\"}}")).collect::<Vec<_>>().join(", "));
        assert_eq!(elements(many.as_bytes(), 0).len(), 200);
        assert_eq!(elements(b"[1,2", 0).len(), 1);
    }

    #[test]
    fn a_list_of_containers_has_the_elements_of_any_list() {
        let pieces = ["[", "]", "{", "}", ",", " ", "1", "\"],[\""];
        let mut texts = vec!["[".to_owned()];
        let mut quick = 0;
        for _ in 0..6 {
            texts = texts.iter().flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}"))).collect();
            for text in texts.iter().map(String::as_bytes) {
                if let Some(found) = containers(text, 0) {
                    quick += usize::from(found.0.len() > 1);
                    assert_eq!(found, values(text, 0), "{}", String::from_utf8_lossy(text));
                }
            }
        }
        assert!(quick > 20);
        let far = format!("[{}]", vec![format!("{{\"a\":\"{}\"}}", "x]".repeat(40)); 9].join(" , "));
        assert_eq!(containers(far.as_bytes(), 0), Some(values(far.as_bytes(), 0)));
    }
}
