//! Fuzzing: what is called with bytes that nobody chose, and what has to hold of every parser whatever they are.
//!
//! A [`Target`] reads bytes as somebody from outside could send them, and panics where the parser breaks its word: it panics
//! itself, reads something else back than it wrote, or goes over a limit of its own. The targets of an edge are beside its
//! parsers (`…/fuzzing.rs`), those of the core are here, since the core names nothing above it.
//!
//! Two call them: libFuzzer in `fuzz/` (`make fuzz`), and on any toolchain the test here, with the seeds in `fuzz/seeds` and
//! mutations of them that are the same in every run. The product has nothing of this.

mod definitions;
mod events;
mod expressions;
mod offset_map;
#[cfg(test)]
mod tests;
mod times;

/// A parser, or several of a kind.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

inventory::collect!(Target);

/// # Panics
/// There is no such target, or it found what must not be.
pub fn run(name: &str, bytes: &[u8]) {
    let target = inventory::iter::<Target>.into_iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(bytes);
}

/// Bytes as HTTP has messages: lines `name: value`, an empty line, a body. Kafka's headers are written so too.
pub(crate) struct Message<'a> {
    pub(crate) headers: Vec<(&'a [u8], &'a [u8])>,
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        let (mut headers, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = end.map_or((rest, &rest[rest.len()..]), |end| (&rest[..end], &rest[end + 1..]));
            rest = after;
            if line.is_empty() {
                break;
            }
            let colon = line.windows(2).position(|pair| pair == b": ");
            headers.push(colon.map_or((line, &line[line.len()..]), |at| (&line[..at], &line[at + 2..])));
        }
        Self { headers, body: rest }
    }

    /// The headers that HTTP can carry.
    pub(crate) fn http(&self) -> axum::http::HeaderMap {
        let mut map = axum::http::HeaderMap::new();
        for (name, value) in &self.headers {
            let name = axum::http::HeaderName::from_bytes(name);
            if let (Ok(name), Ok(value)) = (name, axum::http::HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        map
    }
}

/// The first byte says which of several parsers, the others are for it; `None` without a byte.
pub(crate) fn choice(bytes: &[u8]) -> Option<(u8, &[u8])> {
    bytes.split_first().map(|(first, rest)| (*first, rest))
}

/// The text that parsers of texts get.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
