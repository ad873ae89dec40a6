//! Names of members as the cluster reads them.

/// Fields of the cluster's own, which no document may have.
const METADATA: [&str; 13] = [
    "_data_stream_timestamp",
    "_doc_count",
    "_feature",
    "_field_names",
    "_id",
    "_ignored",
    "_index",
    "_nested_path",
    "_primary_term",
    "_routing",
    "_seq_no",
    "_source",
    "_version",
];

/// The parts of a name.
pub(super) enum Names<'n> {
    Parts(Vec<&'n str>),
    Refused,
}

/// Whether a raw name is one part, as it stands.
pub(super) fn is_plain(raw: &[u8]) -> bool {
    !raw.is_empty() && !raw.iter().any(|c| matches!(c, b'.' | b'\\'))
}

/// The parts of a name between its points; empty ones at the end do not count.
pub(super) fn parts(name: &str) -> Names<'_> {
    if !name.contains('.') {
        return if name.is_empty() { Names::Refused } else { Names::Parts(vec![name]) };
    }
    let mut parts: Vec<&str> = name.split('.').collect();
    while parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    if parts.is_empty() || parts.iter().any(|part| part.chars().all(char::is_whitespace)) {
        return Names::Refused;
    }
    Names::Parts(parts)
}

pub(super) fn is_metadata(name: &[u8]) -> bool {
    METADATA.iter().any(|metadata| metadata.as_bytes() == name)
}

/// Whether a member is the number of documents that this one stands for.
pub(super) fn is_count(name: &[u8], value: &[u8]) -> bool {
    let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
    name == b"_doc_count" && number().is_some_and(|count| count > 0)
}
