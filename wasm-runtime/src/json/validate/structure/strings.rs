//! Which bytes of a text are in strings, and whether those may be there.

use super::lanes::Lanes;

/// What the strings of the blocks so far say about the next block.
#[derive(Default)]
pub(super) struct Strings {
    /// All ones while a string goes on.
    open: u64,
    /// Whether the first byte is escaped.
    escaped: u64,
    /// The first bytes that have to be hexadecimal digits.
    hex: u64,
}

/// The strings of a block.
pub(super) struct Quoted {
    /// The quotes that begin and end strings.
    pub(super) opening: u64,
    pub(super) closing: u64,
    /// All of the strings, with their quotes.
    pub(super) inside: u64,
    /// The backslashes of the block.
    pub(super) backslashes: u64,
}

impl Strings {
    /// Whether a string goes on.
    pub(super) fn is_open(&self) -> bool {
        self.open != 0
    }

    /// The strings of the next block; bits in `errors` for what may not be there.
    #[inline(always)]
    pub(super) fn of<L: Lanes>(&mut self, block: L, errors: &mut u64) -> Quoted {
        let backslashes = block.equal(b'\\');
        let mut quotes = block.equal(b'"');
        if backslashes | self.escaped | self.hex != 0 {
            let escaped = self.escapes(backslashes);
            *errors |= self.wrong_escapes(block, escaped);
            quotes &= !escaped;
        }
        let in_string = L::parity(quotes) ^ self.open;
        self.open = 0u64.wrapping_sub(in_string >> 63);
        let control = block.at_most(0x1f);
        if control != 0 {
            let white = block.equal(b'\t') | block.equal(b'\n') | block.equal(b'\r');
            *errors |= control & (in_string | !white);
        }
        let (opening, closing) = (quotes & in_string, quotes & !in_string);
        Quoted { opening, closing, inside: in_string | closing, backslashes }
    }

    /// The bytes behind a backslash that is none behind another.
    #[inline(always)]
    fn escapes(&mut self, backslashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        let backslashes = backslashes & !self.escaped;
        let follows = backslashes << 1 | self.escaped;
        // A run of backslashes that begins at an odd place ends one place later than one of the same length at an even one.
        let odd_starts = backslashes & !EVEN & !follows;
        let (sum, over) = odd_starts.overflowing_add(backslashes);
        self.escaped = u64::from(over);
        (EVEN ^ sum << 1) & follows
    }

    /// The escaped bytes that may not be, and what is no hexadecimal digit behind `\u`.
    #[inline(always)]
    fn wrong_escapes<L: Lanes>(&mut self, block: L, escaped: u64) -> u64 {
        let wrong = escaped & !block.escapable();
        let long = escaped & block.equal(b'u');
        if long | self.hex == 0 {
            return wrong;
        }
        let long = u128::from(long);
        let digits = long << 1 | long << 2 | long << 3 | long << 4 | u128::from(self.hex);
        self.hex = (digits >> 64) as u64;
        wrong | digits as u64 & !(block.within(b'0', b'9') | block.lowercase().within(b'a', b'f'))
    }
}
