//! SMILE as the cluster reads it; several values with an end mark behind each, as in a `_bulk`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memchr;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::decimal;
use super::json_out::Json;
use super::sink::{Done, Kind, Refused, Sink, refuse};

/// Ends a value of several.
const END: u8 = 0xff;
/// Keys by which the reader tells numbers of its own kinds.
const INTEGER: &str = "\0SmileBigIntegerField";
const SCALE: &str = "\0SmileBigDecimalScale";

/// Gives the one value of `body` to `sink`.
pub(crate) fn read(body: &[u8], strict: bool, sink: &mut impl Sink) -> Done {
    let mut reader = serde_smile::Deserializer::from_slice(body);
    let mut refused = None;
    let converted = Value { sink, strict, refused: &mut refused }.deserialize(&mut reader);
    if let Some(refused) = refused {
        return Err(refused);
    }
    converted.and_then(|()| reader.end()).map_err(|error| Refused::Unreadable(format!("not SMILE: {error}")))?;
    match memchr(END, body) {
        // The reader stops at an end mark, whatever stands behind it.
        Some(at) if strict && at + 1 < body.len() => {
            refuse(format!("there is more behind the SMILE value, at byte {at}"))
        }
        _ => Ok(()),
    }
}

/// The values of `body`, each as a line of JSON.
pub(crate) fn read_parts(body: &[u8], limit: usize, strict: bool) -> Result<Vec<u8>, Refused> {
    let mut json = Json::new(limit);
    let mut rest = body;
    while !rest.is_empty() {
        let Some(end) = memchr(END, rest) else {
            return refuse("the last value of several has no end mark [0xFF]");
        };
        if end > 0 {
            read(&rest[..end], strict, &mut json)?;
        }
        json.line();
        rest = &rest[end + 1..];
    }
    Ok(json.done())
}

/// Gives a value to the sink; what that refuses is kept in `refused`.
struct Value<'a, S> {
    sink: &'a mut S,
    strict: bool,
    refused: &'a mut Option<Refused>,
}

impl<S: Sink> Value<'_, S> {
    fn told<E: serde::de::Error>(&mut self, done: Done) -> Result<(), E> {
        done.map_err(|refused| {
            *self.refused = Some(refused);
            E::custom("refused")
        })
    }

    fn inner(&mut self) -> Value<'_, S> {
        Value { sink: &mut *self.sink, strict: self.strict, refused: &mut *self.refused }
    }

    fn number<E: serde::de::Error>(&mut self, converted: Result<String, Refused>) -> Result<(), E> {
        let done = converted.and_then(|text| self.sink.number(&text));
        self.told(done)
    }
}

impl<'de, S: Sink> DeserializeSeed<'de> for Value<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Sink> Visitor<'de> for Value<'_, S> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> Result<(), E> {
        let done = self.sink.boolean(value);
        self.told(done)
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> Result<(), E> {
        self.number(Ok(value.to_string()))
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> Result<(), E> {
        self.number(Ok(value.to_string()))
    }

    fn visit_i128<E: serde::de::Error>(mut self, value: i128) -> Result<(), E> {
        self.number(Ok(value.to_string()))
    }

    fn visit_u128<E: serde::de::Error>(mut self, value: u128) -> Result<(), E> {
        self.number(Ok(value.to_string()))
    }

    fn visit_f32<E: serde::de::Error>(mut self, value: f32) -> Result<(), E> {
        let done = decimal::single(value, self.strict, self.sink);
        self.told(done)
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> Result<(), E> {
        let done = decimal::double(value, self.strict, self.sink);
        self.told(done)
    }

    fn visit_str<E: serde::de::Error>(mut self, value: &str) -> Result<(), E> {
        let done = self.sink.string(value);
        self.told(done)
    }

    fn visit_bytes<E: serde::de::Error>(mut self, value: &[u8]) -> Result<(), E> {
        let done = self.sink.string(&STANDARD.encode(value));
        self.told(done)
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<(), E> {
        let done = self.sink.null();
        self.told(done)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<(), A::Error> {
        let done = self.sink.start(Kind::Array);
        self.told(done)?;
        while values.next_element_seed(self.inner())?.is_some() {}
        let done = self.sink.end(Kind::Array);
        self.told(done)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut key: Option<String> = members.next_key()?;
        match key.as_deref() {
            Some(INTEGER) => {
                let bytes: Bytes = members.next_value()?;
                return self.number(decimal::signed(&bytes.0));
            }
            Some(SCALE) => {
                let scale: i32 = members.next_value()?;
                members.next_key::<String>()?;
                let bytes: Bytes = members.next_value()?;
                return self
                    .number(decimal::signed(&bytes.0).map(|digits| decimal::scaled(&digits, -i64::from(scale))));
            }
            _ => {}
        }
        let done = self.sink.start(Kind::Object);
        self.told(done)?;
        while let Some(name) = key {
            let done = self.sink.key(&name);
            self.told(done)?;
            members.next_value_seed(self.inner())?;
            key = members.next_key()?;
        }
        let done = self.sink.end(Kind::Object);
        self.told(done)
    }
}

/// The bytes of a long number.
struct Bytes(Vec<u8>);

impl<'de> serde::Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Taken;
        impl Visitor<'_> for Taken {
            type Value = Bytes;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("the bytes of a number")
            }

            fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(value.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Taken)
    }
}
