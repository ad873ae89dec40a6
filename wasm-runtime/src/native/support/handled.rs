//! A processor within another one, with what OpenSearch lets it say about its own failures: `ignore_failure`, `on_failure`, `tag`.

use crate::document::Meta;
use crate::document::effect::Effect;
use crate::engine::deadline::tick;
use crate::error::Fault;
use crate::json;
use crate::json::DocView;
use crate::native::Native;

/// Members of `_ingest` that tell handlers of a failure.
const TOLD: [&str; 3] = ["on_failure_message", "on_failure_processor_type", "on_failure_processor_tag"];

/// A built-in with its handlers.
pub(crate) struct Handled {
    native: Native,
    ignore: bool,
    tag: Option<String>,
    handlers: Vec<Self>,
}

impl Handled {
    /// # Errors
    /// Which option is wrong, and why.
    pub(crate) fn build(name: &str, options: &[u8]) -> Result<Self, String> {
        let mut own = options.trim_ascii().to_vec();
        let mut taken = |name: &str| {
            let value = json::get(&own, 0, name).map(|entry| own[entry.value].to_vec())?;
            own = json::remove_member(&own, 0, name)?;
            Some(value).filter(|raw| raw != b"null")
        };
        let [ignore, tag, _, handlers] = ["ignore_failure", "tag", "description", "on_failure"].map(&mut taken);
        let ignore = match ignore.as_deref() {
            None | Some(b"false") => false,
            Some(b"true") => true,
            Some(_) => return Err("[ignore_failure] property isn't a boolean".to_owned()),
        };
        let handlers = handlers.as_deref().map(Self::list).transpose()?;
        if handlers.as_ref().is_some_and(Vec::is_empty) {
            return Err("[on_failure] processors list cannot be empty".to_owned());
        }
        Ok(Self {
            native: Native::build(name, "document", &own)?,
            ignore,
            tag: tag.and_then(|raw| json::string(&raw).map(std::borrow::Cow::into_owned)),
            handlers: handlers.unwrap_or_default(),
        })
    }

    /// The handlers of an `on_failure`.
    fn list(raw: &[u8]) -> Result<Vec<Self>, String> {
        if raw.first() != Some(&b'[') {
            return Err("[on_failure] property isn't a list".to_owned());
        }
        json::elements(raw, 0).into_iter().map(|at| Self::only(&raw[at])).collect()
    }

    /// `{"function": {options}}`.
    fn only(raw: &[u8]) -> Result<Self, String> {
        let mut members = json::Entries::new(raw, 0).into_iter().flatten();
        let (Some(entry), None) = (members.next(), members.next()) else {
            return Err("[processor] Must specify exactly one processor type".to_owned());
        };
        Self::build(&json::unescape(&raw[entry.key]).unwrap_or_default(), &raw[entry.value])
    }

    /// Whether a failure is its own end.
    pub(crate) fn is_plain(&self) -> bool {
        self.handlers.is_empty()
    }

    /// See [`super::function::Function::longest`].
    pub(crate) fn longest(&self) -> usize {
        self.handlers.iter().map(Self::longest).fold(self.native.longest(), usize::min)
    }

    /// # Errors
    /// As [`Native::apply`], for a failure that is neither ignored nor handled, and for that of a handler. What is over a limit is
    /// no failure of the document.
    pub(crate) fn apply(&self, doc: DocView<'_>, meta: &mut Meta) -> Result<Effect, Fault> {
        match self.native.apply(doc, meta) {
            Err(fault) if fault.status == 400 && self.ignore => Ok(Effect::Unchanged),
            Err(fault) if fault.status == 400 && !self.handlers.is_empty() => self.handle(doc.text(), meta, &fault),
            done => done,
        }
    }

    fn handle(&self, text: &[u8], meta: &mut Meta, fault: &Fault) -> Result<Effect, Fault> {
        let message = json::quote(fault.cause.as_deref().unwrap_or(&fault.reason));
        let tag = self.tag.as_ref().map_or_else(|| b"null".to_vec(), |tag| json::quote(tag));
        let values = [message, json::quote(self.native.function_name()), tag];
        let mut out = text.to_vec();
        for (name, value) in TOLD.iter().zip(values) {
            out = json::set(&out, &format!("_ingest.{name}"), &value).map_err(Fault::illegal)?;
        }
        for handler in &self.handlers {
            tick()?;
            match handler.apply((&out).into(), meta)?.whole(&out) {
                Effect::Replaced(new) => out = new,
                Effect::Dropped => return Ok(Effect::Dropped),
                _ => {}
            }
        }
        for name in TOLD {
            out = json::remove(&out, &format!("_ingest.{name}")).unwrap_or(out);
        }
        Ok(Effect::Replaced(out))
    }
}
