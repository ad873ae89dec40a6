//! Which tokens follow each other, and where the members of the object at the top are.

use super::lanes::Lanes;
use super::scalars::Scalars;
use super::strings::{Quoted, Strings};
use crate::json::index::MemberSpan;
use crate::json::lex::trimmed;
use crate::json::scan::scalar::past_space;

/// Deepest nesting of arrays and objects that a pipeline accepts (docs/reference/udf-abi.md, "Limits"): a level is a bit of a `u128`.
pub(crate) const MAX_DEPTH: usize = 128;

/// The result of one pass over a text that is one array or object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outline {
    /// Where the last bracket is.
    pub(crate) end: usize,
    /// Whether a key at the top has an escape.
    pub(crate) escaped_keys: bool,
    /// Whether all of it is ASCII; UTF-8 is not checked here.
    pub(crate) ascii: bool,
}

/// A text in work, block by block.
pub(super) struct Structure<'t, 'm> {
    text: &'t [u8],
    members: &'m mut Vec<MemberSpan>,
    strings: Strings,
    scalars: Scalars,
    /// Whether the first token is behind a separator, an opening bracket, a string, or any value.
    separated: u64,
    opened: u64,
    behind_string: u64,
    behind_value: u64,
    not_ascii: u64,
    /// One bit for each open level, the innermost lowest: 1 for an object.
    levels: u128,
    depth: usize,
    /// All ones where the innermost level is an object, and where that is at the top.
    object: u64,
    top: u64,
    /// All ones where the next separator of an object is a comma.
    comma: u64,
    /// The last bracket; `None` while a level is open.
    end: Option<usize>,
    /// The last comma at the top, or the bracket of the object there.
    separator: usize,
    escaped_keys: bool,
}

/// The tokens of a block, without its strings.
struct Tokens {
    at: usize,
    open: u64,
    close: u64,
    commas: u64,
    colons: u64,
    backslashes: u64,
    /// What is directly behind an opening bracket.
    opened: u64,
    /// For each place the parity of separators up to it.
    parity: u64,
}

/// The places where the tokens are that follow tokens at these places; `carry`: whether the first token does, of this block and of the
/// next.
#[inline(always)]
fn next(positions: u64, white: u64, carry: &mut u64) -> u64 {
    behind(positions << 1 | *carry, positions >> 63, white, carry)
}

/// The places of the tokens at or behind these places; `carried`: of the next block, too.
#[inline(always)]
fn behind(positions: u64, carried: u64, white: u64, carry: &mut u64) -> u64 {
    // A sum carries a bit to the end of the white space that it is at the beginning of.
    let (sum, over) = (positions & white).overflowing_add(white);
    *carry = carried | u64::from(over);
    (sum | positions) & !white
}

impl<'t, 'm> Structure<'t, 'm> {
    pub(super) fn new(text: &'t [u8], members: &'m mut Vec<MemberSpan>) -> Self {
        Self {
            text,
            members,
            strings: Strings::default(),
            scalars: Scalars::default(),
            separated: 0,
            opened: 0,
            behind_string: 0,
            behind_value: 0,
            not_ascii: 0,
            levels: 0,
            depth: 0,
            object: 0,
            top: 0,
            comma: 0,
            end: None,
            separator: 0,
            escaped_keys: false,
        }
    }

    /// The outline of the text, all of whose blocks have been read.
    pub(super) fn finish(self) -> Option<Outline> {
        let end = self.end.filter(|_| self.depth == 0 && !self.strings.is_open())?;
        if let Some(member) = self.members.last_mut() {
            member.value_end = trimmed(self.text, end) as u32;
        }
        Some(Outline { end, escaped_keys: self.escaped_keys, ascii: self.not_ascii == 0 })
    }

    /// Reads the block at `at`; `None` where the text is not valid.
    #[inline(always)]
    pub(super) fn block<L: Lanes, const INDEXED: bool>(&mut self, at: usize, bytes: &[u8; 64]) -> Option<()> {
        let block = L::load(bytes);
        self.not_ascii |= block.high();
        let mut errors = 0;
        let quoted = self.strings.of(block, &mut errors);
        if quoted.inside == !0 && quoted.opening | quoted.closing == 0 {
            return (errors == 0).then_some(());
        }
        let tokens = self.sequence(block, at, &quoted, &mut errors);
        if errors != 0 {
            return None;
        }
        self.nesting::<INDEXED>(&tokens, bytes)
    }

    /// The tokens of a block; bits in `errors` for those that may not follow the ones before them, and for wrong scalars.
    #[inline(always)]
    fn sequence<L: Lanes>(&mut self, block: L, at: usize, quoted: &Quoted, errors: &mut u64) -> Tokens {
        let Quoted { opening, closing, inside, backslashes } = *quoted;
        let white = block.at_most(b' ') & !inside;
        let lower = block.lowercase();
        let (open, close) = (lower.equal(b'{') & !inside, lower.equal(b'}') & !inside);
        let (commas, colons) = (block.equal(b',') & !inside, block.equal(b':') & !inside);
        let separators = commas | colons;
        let runs = !(inside | white | open | close | separators);
        let (starts, behind_scalars) = self.scalars.ends(runs);
        if !self.scalars.are_valid(block, self.text, at, runs, starts) {
            *errors = 1;
        }
        let separated = next(separators, white, &mut self.separated);
        let opened = next(open, white, &mut self.opened);
        let behind_string = next(closing, white, &mut self.behind_string);
        let ends = closing | close;
        let ended = ends << 1 | self.behind_value | behind_scalars;
        let behind_value = behind(ended, ends >> 63, white, &mut self.behind_value);
        let values = opening | starts | open;
        *errors |= separated & !values
            | opened & !(values | close)
            | behind_value & !(separators | close)
            | colons & !behind_string;
        Tokens { at, open, close, commas, colons, backslashes, opened, parity: L::parity(separators) }
    }

    /// Opens and closes the levels of a block, and checks the separators between: colons and commas in turn in an object, no colons
    /// elsewhere.
    #[inline(always)]
    fn nesting<const INDEXED: bool>(&mut self, tokens: &Tokens, bytes: &[u8; 64]) -> Option<()> {
        let separators = tokens.commas | tokens.colons;
        let mut brackets = tokens.open | tokens.close;
        // With `flip` the parity says of each separator whether it is the colon of its member.
        let (mut left, mut flip, mut top, mut wrong) = (!0, self.comma, 0, 0);
        while brackets != 0 {
            let offset = brackets.trailing_zeros() as usize;
            let (bit, below) = (brackets & brackets.wrapping_neg(), brackets ^ (brackets - 1));
            brackets &= brackets - 1;
            let (part, in_member) = (left & below, tokens.parity ^ flip);
            left = !below;
            top |= part & self.top;
            wrong |= (in_member & separators & self.object ^ tokens.colons) & part;
            let parity = 0u64.wrapping_sub(tokens.parity >> offset & 1);
            let byte = bytes[offset & 63];
            if tokens.open & bit != 0 {
                wrong |= self.object & !in_member & bit;
                self.open(tokens.at + offset, byte == b'{')?;
                flip = parity;
            } else {
                let object = 0u64.wrapping_sub(u64::from(byte == b'}'));
                wrong |= (self.object ^ object | object & !(in_member | tokens.opened)) & bit;
                self.close(tokens.at + offset)?;
                flip = !parity;
            }
        }
        let in_member = tokens.parity ^ flip;
        wrong |= (in_member & separators & self.object ^ tokens.colons) & left;
        if self.depth == 0 {
            wrong |= separators & left;
        }
        self.comma = 0u64.wrapping_sub(in_member >> 63);
        if INDEXED {
            self.note(tokens, separators & (top | left & self.top));
        }
        (wrong == 0).then_some(())
    }

    #[inline(always)]
    fn open(&mut self, at: usize, object: bool) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        if self.depth == 0 {
            if self.end.is_some() {
                return None;
            }
            self.separator = at;
        }
        self.levels = self.levels << 1 | u128::from(object);
        self.depth += 1;
        self.leveled();
        Some(())
    }

    #[inline(always)]
    fn close(&mut self, at: usize) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        self.levels >>= 1;
        if self.depth == 0 {
            self.end = Some(at);
        }
        self.leveled();
        Some(())
    }

    #[inline(always)]
    fn leveled(&mut self) {
        self.object = 0u64.wrapping_sub(self.levels as u64 & 1);
        self.top = self.object & 0u64.wrapping_sub(u64::from(self.depth == 1));
    }

    /// Notes the members at the top of which these are separators: colons and commas in turn.
    #[inline(always)]
    fn note(&mut self, tokens: &Tokens, mut separators: u64) {
        let mut comma = separators & separators.wrapping_neg() & tokens.commas != 0;
        while separators != 0 {
            let offset = separators.trailing_zeros() as usize;
            separators &= separators - 1;
            if comma {
                self.separator = tokens.at + offset;
                if let Some(member) = self.members.last_mut() {
                    member.value_end = trimmed(self.text, self.separator) as u32;
                }
            } else {
                self.note_key(tokens, offset);
            }
            comma = !comma;
        }
    }

    /// Notes the member whose colon is at this place of the block.
    #[inline(always)]
    fn note_key(&mut self, tokens: &Tokens, offset: usize) {
        let (text, at) = (self.text, tokens.at + offset);
        let (key, key_end) = (past_space(text, self.separator + 1) + 1, trimmed(text, at) - 1);
        self.escaped_keys |= match key.checked_sub(tokens.at) {
            Some(from) => (tokens.backslashes & ((1 << offset) - 1)) >> (from & 63) != 0,
            None => text[key..key_end].contains(&b'\\'),
        };
        let value = past_space(text, at + 1) as u32;
        self.members.push(MemberSpan { key: key as u32, key_end: key_end as u32, value, value_end: value });
    }
}
