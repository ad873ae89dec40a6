//! Puts pieces one behind the other, as `DateTimeFormatterBuilder` does: numbers right behind a number take digits from it.

use super::pieces::{Field, Fraction, Number, Offset, Part, Pattern, Piece, Resolver, Sign, Style};

/// Levels of optional sections, so that reading cannot use up the stack.
const DEEPEST: usize = 100;
/// Digits of the longest number in Java.
const WIDEST: usize = 19;

#[derive(Default)]
struct Level {
    pieces: Vec<Piece>,
    /// The number that gives digits to those right behind it.
    giving: Option<usize>,
    padding: usize,
}

impl Level {
    fn push(&mut self, piece: Piece) -> usize {
        let piece = match std::mem::take(&mut self.padding) {
            0 => piece,
            width => Piece::Padded(Box::new(piece), width),
        };
        self.pieces.push(piece);
        self.giving = None;
        self.pieces.len() - 1
    }
}

/// A pattern in the making. The chain of named formats cannot fail; that of letters is checked by its caller.
pub(crate) struct Builder {
    levels: Vec<Level>,
    pub(crate) wrong: Option<String>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { levels: vec![Level::default()], wrong: None }
    }

    fn top(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn fail(&mut self, why: &str) {
        self.wrong.get_or_insert_with(|| why.to_owned());
    }

    pub(crate) fn push(mut self, piece: Piece) -> Self {
        self.top().push(piece);
        self
    }

    pub(crate) fn text(self, literal: &str) -> Self {
        if literal.is_empty() { self } else { self.push(Piece::Literal(literal.to_owned())) }
    }

    pub(crate) fn name(self, field: Field, style: Style) -> Self {
        self.push(Piece::Name(field, style))
    }

    pub(crate) fn pad(mut self, width: usize) -> Self {
        let top = self.top();
        top.padding = width;
        top.giving = None;
        self
    }

    /// A number of one digit or more.
    pub(crate) fn value(self, field: Field) -> Self {
        self.number(field, 1, WIDEST, Sign::Normal)
    }

    /// A number of `width` digits.
    pub(crate) fn fixed(self, field: Field, width: usize) -> Self {
        self.number(field, width, width, Sign::NotNegative)
    }

    pub(crate) fn number(mut self, field: Field, least: usize, most: usize, sign: Sign) -> Self {
        if least > most || most > WIDEST {
            self.fail(&format!("The width must be from 1 to 19 inclusive but was {least}"));
        }
        let fixed = least == most && sign == Sign::NotNegative;
        let number = Number { field, least, most, sign, behind: 0, reduced: false };
        self.append(Piece::Number(number), fixed, most)
    }

    /// A number whose neighbours see it as fixed although it is not.
    pub(crate) fn week(self, field: Field, least: usize, most: usize, sign: Sign) -> Self {
        let number = Number { field, least, most, sign, behind: 0, reduced: false };
        self.append(Piece::Number(number), least == most, most)
    }

    /// Two digits of a year.
    pub(crate) fn reduced(self, field: Field) -> Self {
        let number = Number { field, least: 2, most: 2, sign: Sign::NotNegative, behind: 0, reduced: true };
        self.append(Piece::Number(number), true, 2)
    }

    pub(crate) fn fraction(mut self, field: Field, least: usize, most: usize, point: bool) -> Self {
        if most > 9 {
            self.fail(&format!("Minimum width must be from 0 to 9 inclusive but was {least}"));
        }
        let piece = Piece::Fraction(Fraction { field, least, most, point });
        if least == most && !point { self.append(piece, true, most) } else { self.push(piece) }
    }

    /// Adds a number: a fixed one takes its digits from the number before it.
    fn append(mut self, piece: Piece, fixed: bool, width: usize) -> Self {
        let level = self.top();
        let Some(giving) = level.giving else {
            let at = level.push(piece);
            level.giving = Some(at);
            return self;
        };
        if matches!(level.pieces[giving], Piece::Padded(..)) {
            self.fail("A padded number cannot stand right before another");
            return self;
        }
        if fixed {
            if let Piece::Number(number) = &mut level.pieces[giving] {
                number.behind += width;
            }
            level.push(piece);
            level.giving = Some(giving);
        } else {
            // One of any width gives what it has to those behind it: the one before keeps all digits.
            if let Piece::Number(number) = &mut level.pieces[giving] {
                number.behind = 0;
            }
            let at = level.push(piece);
            level.giving = Some(at);
        }
        self
    }

    /// `+HH:mm` and the like: capital letters are always there.
    pub(crate) fn offset(self, shape: &str, zero: &'static str) -> Self {
        let part = |always: char, optional: char| match () {
            () if shape.contains(always) => Part::Always,
            () if shape.contains(optional) => Part::Optional,
            () => Part::Never,
        };
        self.push(Piece::Offset(Offset {
            minutes: part('M', 'm'),
            seconds: part('S', 's'),
            colon: shape.contains(':'),
            zero,
        }))
    }

    /// `UTC`, `Europe/Paris`, `+01:00`, `Z`.
    pub(crate) fn zone(self) -> Self {
        self.push(Piece::ZoneId)
    }

    pub(crate) fn open(mut self) -> Self {
        self.top().giving = None;
        self.levels.push(Level::default());
        if self.levels.len() > DEEPEST {
            self.fail("Optional sections are nested too deeply");
        }
        self
    }

    pub(crate) fn close(mut self) -> Self {
        if self.levels.len() < 2 {
            self.fail("Pattern invalid as it contains ] without previous [");
            return self;
        }
        let inner = self.levels.pop().unwrap_or_default();
        if !inner.pieces.is_empty() {
            self.top().push(Piece::Optional(inner.pieces));
        }
        self
    }

    /// All pieces; sections still open end here.
    fn pieces(mut self) -> Vec<Piece> {
        while self.levels.len() > 1 {
            self = self.close();
        }
        self.levels.pop().map(|level| level.pieces).unwrap_or_default()
    }

    pub(crate) fn pattern(self, resolver: Resolver) -> Pattern {
        Pattern { pieces: self.pieces(), resolver, utc: false }
    }
}
