//! The source line of an update where something holds for it: read strictly, its members known, its texts given one by one.

use std::ops::Range;

use crate::document::Kind;
use crate::error::Fault;
use crate::json::strict::{Refusal, canonical};
use crate::json::validate::{Invalid, MAX_DEPTH};
use crate::json::{self, Entries};

/// The members that bring a text of their own: each may be stored, `doc` also with `doc_as_upsert`.
pub(crate) const TEXTS: [&str; 2] = ["doc", "upsert"];
const OTHERS: [&str; 5] = ["doc_as_upsert", "scripted_upsert", "detect_noop", "if_seq_no", "if_primary_term"];
const SCRIPT: &str = "script";
const SOURCE: &str = "_source";

/// Levels that the source of an update has around its documents.
const AROUND: usize = 1;

/// The source of an update in canonical form, with its members known.
///
/// # Errors
/// Why it is refused: not one JSON object that every reader takes for the same, or a member that no update has.
pub(crate) fn read(source: &[u8]) -> Result<Vec<u8>, Fault> {
    let parse = |reason: String| Fault::new(400, "x_content_parse_exception", format!("[UpdateRequest] {reason}"));
    let written = canonical(source, MAX_DEPTH + AROUND)
        .map_err(|Refusal { reason, at }| Kind::Document.parse_error(&Invalid(format!("{reason} at byte {at}"))))?;
    let members = Entries::new(&written, 0).ok_or_else(|| parse("is not a JSON object".to_owned()))?;
    for member in members {
        let name = String::from_utf8_lossy(&written[member.key.clone()]);
        if TEXTS.contains(&&*name) {
            if written[member.value.start] != b'{' {
                return Err(parse(format!("[{name}] must be an object")));
            }
        } else if !OTHERS.contains(&&*name) && name != SCRIPT && name != SOURCE {
            return Err(parse(format!("unknown field [{name}]")));
        }
    }
    Ok(written)
}

/// Raises for an update whose script would write what no final pipeline sees.
///
/// # Errors
/// The fault of an update with a script.
pub(crate) fn check_writes(written: &[u8]) -> Result<(), Fault> {
    match json::get(written, 0, SCRIPT) {
        None => Ok(()),
        Some(_) => Err(refused(
            "[script] may write any document, past the final document pipeline of this index; \
             send the new values as [doc], or index the whole document",
        )),
    }
}

/// Raises for an update that shows what is stored, by its source or by its action `line`.
///
/// # Errors
/// The fault of such an update.
pub(crate) fn check_shows(written: &[u8], line: &[u8]) -> Result<(), Fault> {
    if json::get(written, 0, SCRIPT).is_some() {
        return Err(refused(
            "[script] sees documents that final pipelines protect, and can show them in its error; \
             send the new values as [doc]",
        ));
    }
    let meta = Entries::new(line, json::skip_ws(line, 0)).and_then(|mut actions| actions.next());
    let asked = meta.and_then(|meta| json::get(line, meta.value.start, SOURCE)).map(|asked| &line[asked.value]);
    let own = json::get(written, 0, SOURCE).map(|own| &written[own.value]);
    if [asked, own].into_iter().flatten().any(|value| value != b"false") {
        return Err(shown());
    }
    Ok(())
}

/// The fault of an update that asks for the document that it leaves.
pub(crate) fn shown() -> Fault {
    refused(
        "[_source] of an update would show a document past the pipelines that protect this index; read it by a search",
    )
}

fn refused(reason: &str) -> Fault {
    Fault::new(403, "security_exception", reason)
}

/// Where the text of a member is in a source that has been [`read`].
pub(crate) fn text(written: &[u8], member: usize) -> Option<Range<usize>> {
    json::get(written, 0, TEXTS.get(member)?).map(|entry| entry.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_as_the_cluster_reads_them() {
        let written = read(br#" {/**/"d\u006fc": {"a":1}, "doc_as_upsert":"tru\u0065","upsert":{} }"#).unwrap();
        assert_eq!(written, br#"{"doc":{"a":1},"doc_as_upsert":"true","upsert":{}}"#);
        assert_eq!(text(&written, 0).map(|range| &written[range]), Some(&br#"{"a":1}"#[..]));
        assert_eq!(text(&written, 1).map(|range| &written[range]), Some(&b"{}"[..]));
        assert_eq!(text(&written, 2), None);
        let bad = [
            r#"{"doc":{},"doc":{}}"#,
            r#"{"doc":[]}"#,
            r#"{"upsert":null}"#,
            r#"{"docs":{}}"#,
            "[]",
            "",
            r#"{"doc":{}} {}"#,
        ];
        for source in bad {
            assert_eq!(read(source.as_bytes()).unwrap_err().status, 400, "{source}");
        }
    }

    #[test]
    fn what_shows_or_scripts_is_refused() {
        let line = br#"{"update":{"_id":"1"}}"#;
        assert!(check_writes(br#"{"doc":{}}"#).is_ok() && check_shows(br#"{"doc":{},"_source":false}"#, line).is_ok());
        assert!(check_writes(br#"{"script":"x"}"#).is_err() && check_shows(br#"{"script":"x"}"#, line).is_err());
        assert!(check_shows(br#"{"doc":{},"_source":["a"]}"#, line).is_err());
        assert!(check_shows(br#"{"doc":{}}"#, br#" {"update":{"_id":"1","_sourc\u0065":"a"}}"#).is_err());
    }
}
