//! Where a tag of HTML ends, as Lucene's `HTMLStripCharFilter` has it: at the last `>` that the grammar of attributes allows.

/// Bytes that may be looked through in vain for the ends of tags, whatever the text's length and for each of its bytes.
pub(crate) const MOST_SEEN: usize = 4 << 20;
pub(crate) const SEEN_AGAIN: usize = 8;

/// Bytes of the name at the beginning of `text`; 0 if none is there.
pub(crate) fn name_len(text: &str) -> usize {
    let mut chars = text.char_indices();
    match chars.next() {
        Some((_, c)) if begins_name(c) => chars.find(|(_, c)| !goes_on(*c)).map_or(text.len(), |(at, _)| at),
        _ => 0,
    }
}

fn begins_name(c: char) -> bool {
    matches!(c, ':' | '_') || unicode_ident::is_xid_start(c)
}

fn goes_on(c: char) -> bool {
    matches!(c, '-' | '.' | ':') || unicode_ident::is_xid_continue(c)
}

// The states of the grammar, of which several may hold at once.
/// Between attributes: any character but the brackets, and where a `>` ends the tag.
const CONTENT: u32 = 1;
/// White space before an attribute's name; its name; white space behind it; behind its `=`.
const SPACE: u32 = 1 << 1;
const NAME: u32 = 1 << 2;
const NAMED: u32 = 1 << 3;
const EQUALS: u32 = 1 << 4;
/// In quotes; behind a backslash in them.
const SINGLE: u32 = 1 << 5;
const SINGLE_ESCAPED: u32 = 1 << 6;
const DOUBLE: u32 = 1 << 7;
const DOUBLE_ESCAPED: u32 = 1 << 8;
/// Behind `<`, `<!`, `<!-` and `<!--`: a server-side include begins.
const OPENED: [u32; 4] = [1 << 9, 1 << 10, 1 << 11, 1 << 12];
/// In it; behind `-` and `--`; in quotes, and behind a backslash there.
const INCLUDE: u32 = 1 << 13;
const DASH: u32 = 1 << 14;
const DASHES: u32 = 1 << 15;
const INNER_SINGLE: u32 = 1 << 16;
const INNER_SINGLE_ESCAPED: u32 = 1 << 17;
const INNER_DOUBLE: u32 = 1 << 18;
const INNER_DOUBLE_ESCAPED: u32 = 1 << 19;

const QUOTES: [(char, u32, u32, u32); 4] = [
    ('\'', SINGLE, SINGLE_ESCAPED, CONTENT),
    ('"', DOUBLE, DOUBLE_ESCAPED, CONTENT),
    ('\'', INNER_SINGLE, INNER_SINGLE_ESCAPED, INCLUDE),
    ('"', INNER_DOUBLE, INNER_DOUBLE_ESCAPED, INCLUDE),
];

/// The states after `c`.
fn next(states: u32, c: char) -> u32 {
    let at = |state: u32| states & state != 0;
    let mut then = 0;
    if at(CONTENT) {
        if !matches!(c, '<' | '>') {
            then |= CONTENT;
        }
        if c.is_whitespace() {
            then |= SPACE;
        }
        if c == '<' {
            then |= OPENED[0];
        }
    }
    then |= next_of_attribute(states, c);
    for (from, sign) in [(0, '!'), (1, '-'), (2, '-')] {
        if at(OPENED[from]) && c == sign {
            then |= OPENED[from + 1];
        }
    }
    if at(OPENED[3]) && c == '#' {
        then |= INCLUDE;
    }
    if at(INCLUDE | DASH | DASHES) {
        match c {
            '\'' => then |= INNER_SINGLE,
            '"' => then |= INNER_DOUBLE,
            _ => then |= INCLUDE,
        }
        if c == '-' {
            then |= if at(DASH | DASHES) { DASHES | DASH } else { DASH };
        }
        if c == '>' && at(DASHES) {
            then |= CONTENT;
        }
    }
    for (quote, inside, escaped, behind) in QUOTES {
        if at(inside) {
            then |= if c == quote { behind } else { inside };
            if c == '\\' {
                then |= escaped;
            }
        }
        if at(escaped) && c == quote {
            then |= inside;
        }
    }
    then
}

fn next_of_attribute(states: u32, c: char) -> u32 {
    let at = |state: u32| states & state != 0;
    let mut then = 0;
    if at(SPACE) {
        if c.is_whitespace() {
            then |= SPACE;
        }
        if begins_name(c) {
            then |= NAME;
        }
    }
    if at(NAME) && goes_on(c) {
        then |= NAME;
    }
    if at(NAME | NAMED) {
        if c.is_whitespace() {
            then |= NAMED;
        }
        if c == '=' {
            then |= EQUALS;
        }
    }
    if at(EQUALS) {
        match c {
            '\'' => then |= SINGLE,
            '"' => then |= DOUBLE,
            c if c.is_whitespace() => then |= EQUALS,
            _ => {}
        }
    }
    then
}

/// Finds the ends of the tags of one text.
#[derive(Default)]
pub(crate) struct Tags {
    /// Bytes that were looked through beyond the ends that were found.
    pub(crate) seen: usize,
}

impl Tags {
    /// Behind which `>` the tag ends whose name `text` follows; of several that could be the last.
    pub(crate) fn end(&mut self, text: &str) -> Option<usize> {
        // Most tags have no quotes before their first bracket, and nothing else can go beyond it.
        let sign = text.bytes().position(|c| matches!(c, b'>' | b'<' | b'"' | b'\''));
        if let Some(at) = sign.filter(|at| text.as_bytes()[*at] == b'>') {
            return Some(at + 1);
        }
        let mut states = CONTENT;
        let mut end = None;
        let mut seen = text.len();
        for (at, c) in text.char_indices() {
            if c == '>' && states & CONTENT != 0 {
                end = Some(at + 1);
            }
            states = next(states, c);
            if states == 0 {
                seen = at + 1;
                break;
            }
        }
        self.seen += seen - end.unwrap_or(0);
        end
    }
}
