//! Answers of interpreters (guests/shared/answer.h): what they keep of a document is a range of it, so that it comes back byte
//! for byte and is neither written nor copied in the guest.

use crate::document::Meta;
use crate::engine::limits::{Limits, PAGE};
use crate::error::Fault;
use crate::json;
use crate::json::validate;
use crate::udf::batch_abi::Answered;
use crate::udf::host::MAX_CTX;
use crate::udf::invoke::UdfResult;
use crate::udf::sandbox::Answer;

/// Kinds of results.
const NOTHING: u32 = 0;
const FAILED: u32 = 1;
const PIECES: u32 = 2;
/// Bits of what an answer says of its call.
const STOPPED: u32 = 1;
const SPENT: u32 = 2;
const FULL: u32 = 4;

/// The rest of an answer that has not been read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn bytes(&mut self, len: u32) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len as usize)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Bytes behind their length.
    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.number()?;
        self.bytes(len)
    }

    /// A range of `document`, and what stands behind it.
    fn piece<'d>(&mut self, document: &'d [u8]) -> Option<(&'d [u8], &'a [u8])> {
        let (from, to) = (self.number()?, self.number()?);
        Some((document.get(from as usize..to as usize)?, self.text()?))
    }
}

/// What a guest's `answer` says of `docs`.
///
/// # Errors
/// For an answer that is not what it should be.
pub(crate) fn read(answer: &[u8], docs: &[(&[u8], &Meta)], contexts: bool, limits: &Limits) -> Result<Answered, Fault> {
    read_parts(answer, docs, contexts, limits)
        .ok_or_else(|| Fault::result("the guest's answer is not what it should be"))
}

fn read_parts(answer: &[u8], docs: &[(&[u8], &Meta)], contexts: bool, limits: &Limits) -> Option<Answered> {
    let mut rest = Reader(answer);
    let (count, state) = (rest.number()? as usize, rest.number()?);
    let stopped = state & STOPPED != 0;
    // One that is full has a result at least, or a document would be tried for ever.
    let fitting = match (stopped, state & FULL != 0) {
        (true, false) => count < docs.len(),
        (false, true) => (1..docs.len()).contains(&count),
        (false, false) => count == docs.len(),
        (true, true) => false,
    };
    if !fitting {
        return None;
    }
    // A range is a few bytes in the guest: without this the answers of one call could take any memory here.
    let mut room = call_room(limits);
    let mut results = Vec::with_capacity(count);
    for (document, _) in &docs[..count] {
        let kind = rest.number()?;
        let body = rest.text()?;
        let ctx = if contexts { rest.text()? } else { &[] };
        results.push(match kind {
            NOTHING => context(ctx).map(|ctx| UdfResult { output: Answer::Json(None), ctx }),
            PIECES => match assembled(body, document, limits, &mut room)? {
                // It goes alone, and those after it anew.
                Assembled::NoRoom => return Some(Answered { results, interrupted: None, spent: state & SPENT != 0 }),
                Assembled::Text(text) => context(ctx).map(|ctx| UdfResult { output: Answer::Json(text), ctx }),
                Assembled::TooLong(fault) => Err(fault),
            },
            FAILED => Err(exception(body)),
            _ => return None,
        });
    }
    let interrupted = if stopped { Some(location(rest.text()?)) } else { None };
    rest.0.is_empty().then_some(Answered { results, interrupted, spent: state & SPENT != 0 })
}

/// Bytes that the texts of one call may have together: as many as its guest may have of memory.
fn call_room(limits: &Limits) -> usize {
    limits.memory_pages as usize * PAGE as usize
}

/// What becomes of a result in pieces.
enum Assembled {
    /// Its text; `None` if it is the document as it was.
    Text(Option<Vec<u8>>),
    /// It is too long for any call.
    TooLong(Fault),
    /// It is too long together with those before it.
    NoRoom,
}

/// The text of a result. `room`: bytes that the texts of its call may still have.
fn assembled(pieces: &[u8], document: &[u8], limits: &Limits, room: &mut usize) -> Option<Assembled> {
    let (mut rest, mut len, mut longest) = (Reader(pieces), 0usize, 0);
    while !rest.0.is_empty() {
        let (kept, new) = rest.piece(document)?;
        len = len.checked_add(kept.len() + new.len())?;
        longest = kept.len().max(longest);
    }
    if len == longest && len == document.trim_ascii().len() && document.first() == Some(&b'{') {
        return Some(Assembled::Text(None));
    }
    if let Err(fault) = limits.check_output(len) {
        return Some(Assembled::TooLong(fault));
    }
    let most = call_room(limits);
    if len > most {
        let fault = Fault::memory(format!("the answers of one call have more than {most} bytes; answer less"));
        return Some(Assembled::TooLong(fault));
    }
    let Some(left) = room.checked_sub(len) else {
        return Some(Assembled::NoRoom);
    };
    *room = left;
    let (mut rest, mut text) = (Reader(pieces), Vec::with_capacity(len));
    while !rest.0.is_empty() {
        let (kept, new) = rest.piece(document)?;
        text.extend_from_slice(kept);
        text.extend_from_slice(new);
    }
    Some(Assembled::Text(Some(text)))
}

/// The context that the UDF left, if there is one.
fn context(text: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    if text.is_empty() || text == b"null" {
        return Ok(None);
    }
    if text.len() > MAX_CTX || validate::check_object(text).is_err() {
        return Err(Fault::result(format!("the context is over {MAX_CTX} bytes, or no JSON object")));
    }
    Ok(Some(text.to_vec()))
}

/// ` (line 3, column 5)`, as far as `error` says it.
fn location(error: &[u8]) -> String {
    let start = json::skip_ws(error, 0);
    let number = |name: &str| {
        json::get(error, start, name).and_then(|e| std::str::from_utf8(&error[e.value]).ok()?.parse::<u32>().ok())
    };
    match (number("line"), number("column")) {
        (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
        (Some(line), None) => format!(" (line {line})"),
        _ => String::new(),
    }
}

/// An exception of the UDF, as `{"type", "reason", "line", "column"}`.
pub(crate) fn exception(error: &[u8]) -> Fault {
    let start = json::skip_ws(error, 0);
    let text =
        |name: &str| json::get(error, start, name).and_then(|e| json::string(&error[e.value])).unwrap_or_default();
    let kind = text("type");
    let reason = format!("{kind}: {}{}", text("reason"), location(error));
    let memory = kind == "MemoryError" || (kind == "InternalError" && text("reason").starts_with("out of memory"));
    if memory { Fault::memory(reason) } else { Fault::new(400, "udf_exception", reason) }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::document::Meta;
    use crate::engine::limits::Limits;
    use crate::udf::sandbox::Answer;

    const DOCUMENT: &[u8] = br#"{"a":1,"b":[2]}"#;

    fn limits() -> Limits {
        Limits { timeout_ns: 0, fuel: None, memory_pages: 1, output: 100, log: 0, stack: 0 }
    }

    fn words(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// An answer of one result in pieces: ranges, and the texts behind them.
    fn answer(pieces: &[(u32, u32, &str)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (from, to, text) in pieces {
            body.extend(words(&[*from, *to, text.len() as u32]));
            body.extend_from_slice(text.as_bytes());
        }
        [words(&[1, 0, 2, body.len() as u32]), body].concat()
    }

    /// The text that an answer of one result says; `None` for one that is refused, or too long.
    fn text_of(answer: &[u8], contexts: bool) -> Option<Option<String>> {
        let (meta, limits) = (Meta::default(), limits());
        let answered = read(answer, &[(DOCUMENT, &meta)], contexts, &limits).ok()?;
        match answered.results.into_iter().next()?.ok()?.output {
            Answer::Json(text) => Some(text.map(|text| String::from_utf8(text).unwrap())),
            _ => None,
        }
    }

    #[test]
    fn pieces_are_ranges_of_the_document_and_what_is_new() {
        let text = |pieces: &[_]| text_of(&answer(pieces), false).unwrap().unwrap();
        assert_eq!(text(&[(0, 5, "2"), (6, 14, r#","c":3"#), (14, 15, "")]), r#"{"a":2,"b":[2],"c":3}"#);
        assert_eq!(text(&[(0, 0, "[]")]), "[]");
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[(1, 15, "")]), r#""a":1,"b":[2]}"#);
        assert_eq!(text(&[(0, 7, ""), (0, 8, "")]), r#"{"a":1,{"a":1,""#);
        assert_eq!(text_of(&answer(&[(0, 0, ""), (0, 15, "")]), false), Some(None));
    }

    #[test]
    fn the_answers_of_a_call_have_a_limit_together() {
        let (meta, document) = (Meta::default(), format!("[{}]", "1,".repeat(20_000)).into_bytes());
        let limits = Limits { output: 100_000, ..limits() };
        let piece = words(&[0, document.len() as u32 - 1, 1]);
        let result = [words(&[2, piece.len() as u32 + 1]), piece, b"]".to_vec()].concat();
        let docs: Vec<(&[u8], &Meta)> = vec![(&document, &meta); 3];
        let answer = [words(&[3, 0]), result.repeat(3)].concat();
        let kinds = |docs: &[_], answer: &[u8]| -> Vec<_> {
            let results = read(answer, docs, false, &limits).ok().unwrap().results;
            results.iter().map(|result| result.as_ref().err().map(|fault| fault.status)).collect()
        };
        // The rest is called for again: a document fails for its own answer only.
        assert_eq!(kinds(&docs, &answer), [None]);
        let long = [words(&[2, 24]), words(&[0, 39_999, 0]).repeat(2)].concat();
        assert_eq!(kinds(&docs[..1], &[words(&[1, 0]), long.clone()].concat()), [Some(429)]);
        // One that is too long for any call takes no room of those after it.
        let mixed = [words(&[3, 0]), result.clone(), long, words(&[2, 13]), words(&[0, 0, 1]), b"1".to_vec()].concat();
        assert_eq!(kinds(&docs, &mixed), [None, Some(429), None]);
        // No room at all is too little room, too.
        let rest = words(&[0, 65_536 - document.len() as u32, 0]);
        let full = [words(&[3, 0]), result.clone(), words(&[2, 12]), rest, result].concat();
        assert_eq!(kinds(&docs, &full), [None, None]);
    }

    #[test]
    fn an_answer_that_is_full_has_the_results_before() {
        let meta = Meta::default();
        let docs: Vec<(&[u8], &Meta)> = vec![(DOCUMENT, &meta); 3];
        let results = |count, state| {
            let answer = [words(&[count, state]), words(&[0, 0]).repeat(count as usize)].concat();
            read(&answer, &docs, false, &limits()).ok().map(|answered| answered.results.len())
        };
        assert_eq!([0, 1, 2, 3].map(|count| results(count, 4)), [None, Some(1), Some(2), None]);
        assert_eq!([results(2, 0), results(2, 5)], [None, None]);
    }

    #[test]
    fn answers_that_are_not_what_they_should_be_are_refused() {
        for pieces in [(0, 16, ""), (5, 4, ""), (u32::MAX, 3, ""), (16, 16, "x")] {
            assert_eq!(text_of(&answer(&[pieces]), false), None, "{pieces:?}");
        }
        let whole = answer(&[(0, 5, "2"), (6, 15, "")]);
        for len in 0..whole.len() {
            assert_eq!(text_of(&whole[..len], false), None, "{len}");
        }
        assert_eq!(text_of(&[whole.clone(), vec![0]].concat(), false), None, "more behind it");
        assert_eq!(text_of(&whole, true), None, "no context");
        for head in [[0, 0, 2, 0], [2, 0, 0, 0], [1, 1, 0, 0], [1, 4, 0, 0], [1, 0, 3, 0], [1, 0, 2, u32::MAX]] {
            assert_eq!(text_of(&words(&head), false), None, "{head:?}");
        }
        assert_eq!(text_of(&answer(&[(0, 15, &"x".repeat(90))]), false), None, "over the limit of an output");
    }
}
