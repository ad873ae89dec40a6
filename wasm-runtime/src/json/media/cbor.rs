//! CBOR (RFC 8949) as the cluster reads and writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium_ll::{Decoder, Encoder, Header, tag};

use super::decimal;
use super::sink::{Done, Kind, MAX_DEPTH, Refused, Sink, refuse};

const DECIMAL: u64 = 4;
const STRING_REFERENCES: [u64; 2] = [25, 256];
const SELF_DESCRIBED: u64 = 55_799;
const HALF: u8 = 0xf9;
const SINGLE: u8 = 0xfa;
const DOUBLE: u8 = 0xfb;

/// Gives the one value of `body` to `sink`.
pub(crate) fn read(body: &[u8], strict: bool, sink: &mut impl Sink) -> Done {
    let mut reader = Reader { body, decoder: Decoder::from(body), strict };
    let mut levels: Vec<Level> = Vec::new();
    loop {
        match reader.step(levels.last_mut(), sink)? {
            Step::Value => {}
            Step::Opened(level) => {
                if levels.len() >= MAX_DEPTH {
                    return refuse(format!("nested deeper than {MAX_DEPTH} levels"));
                }
                levels.push(level);
            }
            Step::Broken => {
                if let Some(level) = levels.last_mut() {
                    level.left = Some(0);
                }
            }
        }
        while levels.last().is_some_and(Level::full) {
            if let Some(level) = levels.pop() {
                sink.end(level.kind)?;
            }
        }
        if levels.is_empty() {
            break;
        }
    }
    if reader.decoder.offset() < body.len() {
        return refuse(format!("there is more behind the CBOR value, at byte {}", reader.decoder.offset()));
    }
    Ok(())
}

/// An open array or map.
struct Level {
    kind: Kind,
    /// Values, and keys, that are still to come; `None` where a break ends it.
    left: Option<usize>,
    /// Whether a key comes next.
    key: bool,
}

impl Level {
    fn full(&self) -> bool {
        self.left == Some(0)
    }
}

enum Step {
    Value,
    Opened(Level),
    Broken,
}

struct Reader<'a> {
    body: &'a [u8],
    decoder: Decoder<&'a [u8]>,
    strict: bool,
}

impl Reader<'_> {
    fn pull(&mut self) -> Result<Header, Refused> {
        let at = self.decoder.offset();
        self.decoder.pull().map_err(|_| Refused::Unreadable(format!("not CBOR, or cut off, at byte {at}")))
    }

    /// Reads a key, a value or the beginning of one.
    fn step(&mut self, level: Option<&mut Level>, sink: &mut impl Sink) -> Result<Step, Refused> {
        let at = self.decoder.offset();
        let header = self.pull()?;
        let Some(level) = level else {
            return self.value(at, header, sink);
        };
        if header == Header::Break {
            if level.left.is_some() || (level.kind == Kind::Object && !level.key) {
                return refuse(format!("a break that ends nothing at byte {at}"));
            }
            return Ok(Step::Broken);
        }
        level.left = level.left.map(|left| left - 1);
        if level.key {
            level.key = false;
            self.key(at, header, sink)?;
            return Ok(Step::Value);
        }
        level.key = level.kind == Kind::Object;
        self.value(at, header, sink)
    }

    fn key(&mut self, at: usize, header: Header, sink: &mut impl Sink) -> Done {
        match header {
            Header::Text(len) => sink.key(&self.text(len)?),
            Header::Positive(_) | Header::Negative(_) if self.strict => {
                refuse(format!("a key that is no text at byte {at}"))
            }
            Header::Positive(number) => sink.key(&number.to_string()),
            Header::Negative(number) => sink.key(&(i128::from(number) ^ !0).to_string()),
            Header::Bytes(len) if !self.strict => match String::from_utf8(self.bytes(len)?) {
                Ok(text) => sink.key(&text),
                Err(_) => refuse(format!("a key that is no text at byte {at}")),
            },
            Header::Tag(_) if !self.strict => loop {
                let (at, header) = (self.decoder.offset(), self.pull()?);
                if !matches!(header, Header::Tag(_)) {
                    return self.key(at, header, sink);
                }
            },
            _ => refuse(format!("a key that is neither a text nor an integer at byte {at}")),
        }
    }

    fn value(&mut self, at: usize, header: Header, sink: &mut impl Sink) -> Result<Step, Refused> {
        match header {
            Header::Positive(number) => sink.number(&number.to_string())?,
            Header::Negative(number) => sink.number(&(i128::from(number) ^ !0).to_string())?,
            Header::Float(number) if matches!(self.body.get(at), Some(&(HALF | SINGLE))) => {
                decimal::single(number as f32, self.strict, sink)?;
            }
            Header::Float(number) => decimal::double(number, self.strict, sink)?,
            Header::Text(len) => sink.string(&self.text(len)?)?,
            Header::Bytes(len) => sink.string(&STANDARD.encode(self.bytes(len)?))?,
            Header::Array(len) => return opened(Kind::Array, len, sink),
            Header::Map(len) => return opened(Kind::Object, len, sink),
            Header::Simple(20) => sink.boolean(false)?,
            Header::Simple(21) => sink.boolean(true)?,
            Header::Simple(22) => sink.null()?,
            Header::Simple(23) if !self.strict => sink.null()?,
            Header::Simple(number) => {
                return refuse(format!("the simple value [{number}] at byte {at} has no meaning"));
            }
            Header::Tag(tag) => return self.tagged(at, tag, sink),
            Header::Break => return refuse(format!("a break that ends nothing at byte {at}")),
        }
        Ok(Step::Value)
    }

    fn tagged(&mut self, at: usize, tag: u64, sink: &mut impl Sink) -> Result<Step, Refused> {
        if STRING_REFERENCES.contains(&tag) {
            return refuse(format!("the tag [{tag}] at byte {at}: references to strings are not read"));
        }
        if self.strict && ![tag::BIGPOS, tag::BIGNEG, DECIMAL, SELF_DESCRIBED].contains(&tag) {
            return refuse(format!("the tag [{tag}] at byte {at} may mean different things to different readers"));
        }
        let inner = self.decoder.offset();
        let header = self.pull()?;
        match (tag, header) {
            (tag::BIGPOS | tag::BIGNEG, Header::Bytes(len)) => sink.number(&self.big(tag, len)?)?,
            (DECIMAL, Header::Array(Some(2))) => {
                let exponent = self.integer()?.parse::<i64>().ok().filter(|e| i32::try_from(*e).is_ok());
                let Some(exponent) = exponent else {
                    return refuse(format!("the exponent of the number at byte {at} is too large"));
                };
                let integer = self.integer()?;
                sink.number(&decimal::scaled(&integer, exponent))?;
            }
            (tag::BIGPOS | tag::BIGNEG | DECIMAL, _) => {
                return refuse(format!("a tag of a number at byte {at} stands before none"));
            }
            (_, Header::Tag(_)) if self.strict => return refuse(format!("several tags at byte {inner}")),
            (_, Header::Tag(next)) => return self.chain(inner, next, sink),
            (_, header) => return self.value(inner, header, sink),
        }
        Ok(Step::Value)
    }

    /// Passes over tags that stand one behind the other.
    fn chain(&mut self, mut at: usize, mut tag: u64, sink: &mut impl Sink) -> Result<Step, Refused> {
        // Not by recursion: there may be as many tags as bytes.
        loop {
            if STRING_REFERENCES.contains(&tag) || [tag::BIGPOS, tag::BIGNEG, DECIMAL].contains(&tag) {
                return self.tagged(at, tag, sink);
            }
            at = self.decoder.offset();
            match self.pull()? {
                Header::Tag(next) => tag = next,
                header => return self.value(at, header, sink),
            }
        }
    }

    fn integer(&mut self) -> Result<String, Refused> {
        let at = self.decoder.offset();
        match self.pull()? {
            Header::Positive(number) => Ok(number.to_string()),
            Header::Negative(number) => Ok((i128::from(number) ^ !0).to_string()),
            Header::Tag(tag @ (tag::BIGPOS | tag::BIGNEG)) => match self.pull()? {
                Header::Bytes(len) => self.big(tag, len),
                _ => refuse(format!("an integer was expected at byte {at}")),
            },
            _ => refuse(format!("an integer was expected at byte {at}")),
        }
    }

    fn big(&mut self, tag: u64, len: Option<usize>) -> Result<String, Refused> {
        let mut bytes = self.bytes(len)?;
        if tag == tag::BIGPOS {
            return decimal::digits(&bytes);
        }
        // It means -1 - n: in two's complement all bits of n are turned round.
        bytes.insert(0, 0);
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        decimal::signed(&bytes)
    }

    fn text(&mut self, len: Option<usize>) -> Result<String, Refused> {
        let at = self.decoder.offset();
        String::from_utf8(self.bytes_of(len, false)?)
            .map_err(|_| Refused::Unreadable(format!("invalid UTF-8 in the text at byte {at}")))
    }

    fn bytes(&mut self, len: Option<usize>) -> Result<Vec<u8>, Refused> {
        self.bytes_of(len, true)
    }

    /// The bytes behind a header of a text or of bytes, which may come in pieces of the same type.
    fn bytes_of(&mut self, len: Option<usize>, binary: bool) -> Result<Vec<u8>, Refused> {
        let mut out = Vec::new();
        if let Some(len) = len {
            self.copy(len, &mut out)?;
            return Ok(out);
        }
        loop {
            let at = self.decoder.offset();
            match (self.pull()?, binary) {
                (Header::Break, _) => return Ok(out),
                (Header::Bytes(Some(len)), true) | (Header::Text(Some(len)), false) => self.copy(len, &mut out)?,
                _ => return refuse(format!("a piece of another type at byte {at}")),
            }
        }
    }

    fn copy(&mut self, len: usize, out: &mut Vec<u8>) -> Done {
        let (at, before) = (self.decoder.offset(), out.len());
        if len > self.body.len() - at {
            return refuse(format!("cut off in the text at byte {at}"));
        }
        out.resize(before + len, 0);
        ciborium_io::Read::read_exact(&mut self.decoder, &mut out[before..])
            .map_err(|_| Refused::Unreadable(format!("cut off in the text at byte {at}")))
    }
}

fn opened(kind: Kind, len: Option<usize>, sink: &mut impl Sink) -> Result<Step, Refused> {
    sink.start(kind)?;
    let object = kind == Kind::Object;
    let left = len.map(|len| if object { len.saturating_mul(2) } else { len });
    Ok(Step::Opened(Level { kind, left, key: object }))
}

/// Tokens as CBOR; objects and arrays end with a break, as in what the cluster writes.
#[derive(Default)]
pub(crate) struct Out(Vec<u8>);

impl Out {
    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }

    fn push(&mut self, header: Header) -> Done {
        Encoder::from(&mut self.0).push(header).map_err(|_| Refused::TooLong)
    }
}

impl Sink for Out {
    fn start(&mut self, kind: Kind) -> Done {
        self.push(if kind == Kind::Object { Header::Map(None) } else { Header::Array(None) })
    }

    fn end(&mut self, _: Kind) -> Done {
        self.push(Header::Break)
    }

    fn key(&mut self, text: &str) -> Done {
        self.string(text)
    }

    fn string(&mut self, text: &str) -> Done {
        Encoder::from(&mut self.0).text(text, None).map_err(|_| Refused::TooLong)
    }

    fn number(&mut self, text: &str) -> Done {
        if let Ok(number) = text.parse::<i128>() {
            if let Ok(number) = u64::try_from(number) {
                return self.push(Header::Positive(number));
            }
            if let Ok(number) = u64::try_from(number ^ !0) {
                return self.push(Header::Negative(number));
            }
            let (tag, number) = if number < 0 { (tag::BIGNEG, number ^ !0) } else { (tag::BIGPOS, number) };
            self.push(Header::Tag(tag))?;
            let bytes = number.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            return Encoder::from(&mut self.0).bytes(&bytes[zeros..], None).map_err(|_| Refused::TooLong);
        }
        match text.parse::<f64>() {
            Ok(number) => {
                // Not by the encoder, which writes 32 bits where they do: readers print those with fewer digits.
                self.0.push(DOUBLE);
                self.0.extend_from_slice(&number.to_be_bytes());
                Ok(())
            }
            Err(_) => refuse("not a number"),
        }
    }

    fn boolean(&mut self, value: bool) -> Done {
        self.push(Header::Simple(if value { 21 } else { 20 }))
    }

    fn null(&mut self) -> Done {
        self.push(Header::Simple(22))
    }
}
