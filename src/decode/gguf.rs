//! The header of a GGUF file: every claim is checked against the file's true length before a byte is allocated for it.
//!
//! Layout (version 2 and 3, little endian): magic, version, number of tensors, number of keys, the keys with their values, the tensors with name, shape,
//! format and place, then the data, each tensor aligned. Source: the specification in ggml's `docs/gguf.md`.

mod names;
mod shape;
mod vocabulary;

pub(super) use names::{interleaved, spoken, told};
pub(super) use shape::configuration;
pub(super) use vocabulary::tokenizer;

use std::collections::BTreeMap;
use std::io::Read;

use super::chat::{TEMPLATE_BYTES_MAX, Template};
use super::stored::Stored;

/// Largest header accepted, bytes: tokenizers of a quarter of a million tokens take 10 MB.
const HEADER_BYTES_MAX: u64 = 64 << 20;
/// Most keys and most tensors.
const KEYS_MAX: u64 = 4_096;
const TENSORS_MAX: u64 = 16_384;
/// Longest list: vocabularies have a quarter of a million tokens.
const LIST_MAX: u64 = 1 << 21;
/// Longest name of a key or tensor, bytes.
const NAME_BYTES_MAX: u64 = 256;
/// Most dimensions of a tensor.
const RANK_MAX: u32 = 4;
/// Alignment of the data where the file names none, bytes, and the largest accepted.
const ALIGNMENT: u64 = 32;
const ALIGNMENT_MAX: u64 = 1 << 16;

/// What is wrong with a header, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) offset: u64,
    pub(super) reason: String,
}

/// A value of the header.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Whole(i128),
    Real(f64),
    Flag(bool),
    Text(String),
    Wholes(Vec<i64>),
    Reals(Vec<f32>),
    Flags(Vec<bool>),
    Texts(Vec<String>),
}

/// Where a tensor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    /// Slowest dimension first, as safetensors and Hugging Face write it: `[outputs, inputs]`. The file has it the other way.
    pub(super) shape: Vec<u64>,
    pub(super) stored: Stored,
    /// Bytes from the beginning of the file.
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// A header that was read and checked.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) values: BTreeMap<String, Value>,
    /// In the order of their data; none overlaps another, all lie within the file.
    pub(super) tensors: Vec<Place>,
}

/// Numbers that the rotary frequencies are divided by, one for each pair of a head.
pub(super) const ROPE_DIVISORS: &str = "rope_freqs.weight";

impl Header {
    fn tensor(&self, name: &str) -> Option<&Place> {
        self.tensors.iter().find(|place| place.name == name)
    }

    /// Whether the rows of queries and keys lie interleaved, as the architecture `llama` has them.
    pub(super) fn has_interleaved_heads(&self) -> bool {
        self.values.get("general.architecture") == Some(&Value::Text("llama".into()))
    }

    /// The template of a chat with the tokens it may name, if there is one.
    pub(super) fn chat_template(&self) -> Option<Template> {
        let Some(Value::Text(text)) = self.values.get("tokenizer.chat_template") else {
            return None;
        };
        let token = |key: &str| match (
            self.values.get(key)?,
            self.values.get("tokenizer.ggml.tokens")?,
        ) {
            (Value::Whole(id), Value::Texts(tokens)) => {
                usize::try_from(*id).ok().and_then(|id| tokens.get(id))
            }
            _ => None,
        };
        let said = |key: &str| token(key).cloned().unwrap_or_default();
        (text.len() <= TEMPLATE_BYTES_MAX).then(|| Template {
            text: text.clone(),
            bos: said("tokenizer.ggml.bos_token_id"),
            eos: said("tokenizer.ggml.eos_token_id"),
        })
    }
}

/// Reads and checks the header of a file of `len` bytes.
pub(super) fn read(bytes: &mut impl Read, len: u64) -> Result<Header, Fault> {
    let mut at = Cursor {
        bytes,
        at: 0,
        len: len.min(HEADER_BYTES_MAX),
        file: len,
    };
    if at.array::<4>("the magic")? != *b"GGUF" {
        return Err(at.fault("it does not begin with `GGUF`"));
    }
    let version = at.u32("the version")?;
    if !(2..=3).contains(&version) {
        // A file of the other byte order has its version in the high bytes.
        return Err(at.fault(format!(
            "version {version} is not known; versions 2 and 3 in little-endian order are"
        )));
    }
    let tensors = at.count("tensors", TENSORS_MAX)?;
    let keys = at.count("keys", KEYS_MAX)?;
    let mut values = BTreeMap::new();
    for _ in 0..keys {
        let name = at.name("a key")?;
        let kind = at.u32("the type of a value")?;
        let value = at.value(&name, kind)?;
        if values.insert(name.clone(), value).is_some() {
            return Err(at.fault(format!("key `{name}` stands twice")));
        }
    }
    let alignment = match values.get("general.alignment") {
        None => ALIGNMENT,
        Some(Value::Whole(n)) if (1..=i128::from(ALIGNMENT_MAX)).contains(n) => *n as u64,
        Some(other) => {
            return Err(at.fault(format!(
                "general.alignment is {other:?}; a whole number from 1 to {ALIGNMENT_MAX} is expected"
            )));
        }
    };
    let mut places = Vec::new();
    for _ in 0..tensors {
        places.push(at.tensor(alignment)?);
    }
    let data = at.at.next_multiple_of(alignment);
    settle(&mut places, data, len, at.at)?;
    Ok(Header {
        values,
        tensors: places,
    })
}

/// Turns places within the data into places within the file, and checks that they are there, apart, and of different names.
fn settle(places: &mut [Place], data: u64, len: u64, header: u64) -> Result<(), Fault> {
    let fault = |reason| Fault {
        offset: header,
        reason,
    };
    for place in places.iter_mut() {
        let end = place.end.checked_add(data);
        let Some(end) = end.filter(|end| *end <= len) else {
            return Err(fault(format!(
                "tensor `{}` ends {} bytes into the data, the file holds {} bytes of data",
                place.name,
                place.end,
                len.saturating_sub(data)
            )));
        };
        (place.begin, place.end) = (place.begin + data, end);
    }
    places.sort_by_key(|place| (place.begin, place.end));
    for pair in places.windows(2) {
        if pair[1].begin < pair[0].end {
            return Err(fault(format!(
                "tensors `{}` and `{}` overlap",
                pair[0].name, pair[1].name
            )));
        }
    }
    let mut names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(fault(format!("tensor `{}` stands twice", pair[0])));
    }
    Ok(())
}

struct Cursor<'a, R> {
    bytes: &'a mut R,
    at: u64,
    /// The header may not go on past this byte.
    len: u64,
    file: u64,
}

impl<R: Read> Cursor<'_, R> {
    fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault {
            offset: self.at,
            reason: reason.into(),
        }
    }

    /// Says whether `bytes` more can be there, before anything is allocated for them.
    fn expect(&self, bytes: u64, what: &str) -> Result<(), Fault> {
        if bytes <= self.len - self.at {
            return Ok(());
        }
        Err(self.fault(if self.len < self.file {
            format!("{what} goes on past {HEADER_BYTES_MAX} bytes, the largest header accepted")
        } else {
            format!(
                "{what} needs {bytes} bytes, the file has {} left",
                self.len - self.at
            )
        }))
    }

    fn fill(&mut self, out: &mut [u8], what: &str) -> Result<(), Fault> {
        self.expect(out.len() as u64, what)?;
        self.bytes
            .read_exact(out)
            .map_err(|e| self.fault(format!("{what} cannot be read: {e}")))?;
        self.at += out.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Fault> {
        let mut out = [0; N];
        self.fill(&mut out, what)?;
        Ok(out)
    }

    fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        self.array(what).map(u32::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64, Fault> {
        self.array(what).map(u64::from_le_bytes)
    }

    fn count(&mut self, what: &str, most: u64) -> Result<u64, Fault> {
        let n = self.u64(what)?;
        if n > most {
            return Err(self.fault(format!("it claims {n} {what}; at most {most} are accepted")));
        }
        Ok(n)
    }

    fn text(&mut self, what: &str, most: u64) -> Result<String, Fault> {
        let n = self.u64(what)?;
        if n > most {
            return Err(self.fault(format!("{what} of {n} bytes; at most {most} are accepted")));
        }
        self.expect(n, what)?;
        let mut bytes = vec![0; n as usize];
        self.fill(&mut bytes, what)?;
        String::from_utf8(bytes).map_err(|_| self.fault(format!("{what} is not UTF-8")))
    }

    fn name(&mut self, what: &str) -> Result<String, Fault> {
        self.text(what, NAME_BYTES_MAX)
    }

    fn value(&mut self, name: &str, kind: u32) -> Result<Value, Fault> {
        const WHAT: &str = "a value";
        Ok(match kind {
            0..=5 | 10 | 11 => Value::Whole(self.whole(kind)?),
            6 => Value::Real(f64::from(f32::from_le_bytes(self.array(WHAT)?))),
            12 => Value::Real(f64::from_le_bytes(self.array(WHAT)?)),
            7 => Value::Flag(self.flag()?),
            8 => Value::Text(self.text(WHAT, HEADER_BYTES_MAX)?),
            9 => {
                let of = self.u32("the type of an array")?;
                let n = self.u64("the length of an array")?;
                self.list(name, of, n)?
            }
            other => return Err(self.fault(format!("`{name}` is of the unknown type {other}"))),
        })
    }

    fn whole(&mut self, kind: u32) -> Result<i128, Fault> {
        const WHAT: &str = "a whole number";
        Ok(match kind {
            0 => u8::from_le_bytes(self.array(WHAT)?).into(),
            1 => i8::from_le_bytes(self.array(WHAT)?).into(),
            2 => u16::from_le_bytes(self.array(WHAT)?).into(),
            3 => i16::from_le_bytes(self.array(WHAT)?).into(),
            4 => u32::from_le_bytes(self.array(WHAT)?).into(),
            5 => i32::from_le_bytes(self.array(WHAT)?).into(),
            10 => u64::from_le_bytes(self.array(WHAT)?).into(),
            _ => i64::from_le_bytes(self.array(WHAT)?).into(),
        })
    }

    fn flag(&mut self) -> Result<bool, Fault> {
        match self.array("a flag")? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.fault(format!("a flag is {other}, neither 0 nor 1"))),
        }
    }

    fn list(&mut self, name: &str, of: u32, n: u64) -> Result<Value, Fault> {
        let each = match of {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            9 => return Err(self.fault(format!("`{name}` is an array of arrays"))),
            other => {
                return Err(self.fault(format!("`{name}` is an array of the unknown type {other}")));
            }
        };
        if n > LIST_MAX {
            return Err(self.fault(format!(
                "array `{name}` of {n}; at most {LIST_MAX} are accepted"
            )));
        }
        // A text takes its length at the least.
        let bytes = n.saturating_mul(each);
        self.expect(bytes, &format!("array `{name}` of {n}"))?;
        let n = n as usize; // n * each bytes are there
        Ok(match of {
            6 => Value::Reals(self.each(n, |at| at.array("a number").map(f32::from_le_bytes))?),
            12 => Value::Reals(
                self.each(n, |at| Ok(f64::from_le_bytes(at.array("a number")?) as f32))?,
            ),
            7 => Value::Flags(self.each(n, Self::flag)?),
            8 => Value::Texts(self.each(n, |at| at.text("a text", HEADER_BYTES_MAX))?),
            kind => Value::Wholes(self.each(n, |at| {
                let whole = at.whole(kind)?;
                i64::try_from(whole).map_err(|_| at.fault(format!("`{name}` holds {whole}")))
            })?),
        })
    }

    fn each<T>(
        &mut self,
        n: usize,
        one: impl Fn(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        (0..n).map(|_| one(self)).collect()
    }

    /// One tensor's name, shape, format and place within the data.
    fn tensor(&mut self, alignment: u64) -> Result<Place, Fault> {
        let name = self.name("the name of a tensor")?;
        let rank = self.u32("the rank of a tensor")?;
        if rank > RANK_MAX {
            return Err(self.fault(format!(
                "tensor `{name}` has {rank} dimensions; at most {RANK_MAX} are accepted"
            )));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            shape.push(self.u64("a dimension")?);
        }
        let number = self.u32("the format of a tensor")?;
        let Some(stored) = Stored::numbered(number) else {
            return Err(self.fault(format!(
                "tensor `{name}` is stored in format {number}; F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K are supported"
            )));
        };
        let begin = self.u64("the place of a tensor")?;
        if begin % alignment != 0 {
            return Err(self.fault(format!(
                "tensor `{name}` begins at {begin}, which is no multiple of {alignment}"
            )));
        }
        let (numbers, block_bytes) = stored.block();
        let inner = shape.first().copied().unwrap_or(1);
        if inner % numbers != 0 {
            return Err(self.fault(format!(
                "tensor `{name}` has rows of {inner}, which is no multiple of the {numbers} of its format"
            )));
        }
        let size = shape
            .iter()
            .try_fold(1_u64, |product, n| product.checked_mul(*n))
            .and_then(|all| (all / numbers).checked_mul(block_bytes));
        let Some(end) = size.and_then(|size| begin.checked_add(size)) else {
            return Err(self.fault(format!(
                "tensor `{name}` of shape {shape:?} is larger than any file"
            )));
        };
        shape.reverse();
        Ok(Place {
            name,
            shape,
            stored,
            begin,
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in the making.
    #[derive(Clone, Default)]
    struct Made(Vec<u8>);

    impl Made {
        fn begin(tensors: u64, keys: u64) -> Self {
            let mut made = Self(b"GGUF".to_vec());
            made.u32(3).u64(tensors).u64(keys);
            made
        }

        fn u32(&mut self, n: u32) -> &mut Self {
            self.0.extend(n.to_le_bytes());
            self
        }

        fn u64(&mut self, n: u64) -> &mut Self {
            self.0.extend(n.to_le_bytes());
            self
        }

        fn text(&mut self, text: &str) -> &mut Self {
            self.u64(text.len() as u64).0.extend(text.as_bytes());
            self
        }

        fn tensor(&mut self, name: &str, shape: &[u64], format: u32, at: u64) -> &mut Self {
            self.text(name).u32(shape.len() as u32);
            for n in shape {
                self.u64(*n);
            }
            self.u32(format).u64(at)
        }

        fn data(&mut self, bytes: usize) -> &mut Self {
            let begin = self.0.len().next_multiple_of(32);
            self.0.resize(begin + bytes, 7);
            self
        }

        fn read(&self) -> Result<Header, Fault> {
            read(&mut self.0.as_slice(), self.0.len() as u64)
        }

        fn reason(&self) -> String {
            self.read().unwrap_err().reason
        }
    }

    fn sound() -> Made {
        let mut made = Made::begin(2, 4);
        made.text("general.architecture").u32(8).text("llama");
        made.text("llama.block_count").u32(4).u32(30);
        made.text("tokenizer.ggml.tokens")
            .u32(9)
            .u32(8)
            .u64(2)
            .text("a")
            .text("б");
        made.text("tokenizer.ggml.scores").u32(9).u32(6).u64(2);
        made.0.extend(1.5_f32.to_le_bytes());
        made.0.extend((-2.0_f32).to_le_bytes());
        made.tensor("w", &[64, 3], 8, 32).tensor("norm", &[4], 0, 0);
        made.data(32 + 3 * 2 * 34);
        made
    }

    #[test]
    fn a_sound_header_is_read_with_shapes_turned_round_and_places_in_the_file() {
        let made = sound();
        let header = made.read().unwrap();
        assert_eq!(header.values["llama.block_count"], Value::Whole(30));
        assert_eq!(
            header.values["tokenizer.ggml.tokens"],
            Value::Texts(vec!["a".into(), "б".into()])
        );
        assert_eq!(
            header.values["tokenizer.ggml.scores"],
            Value::Reals(vec![1.5, -2.0])
        );
        let [norm, w] = header.tensors.as_slice() else {
            panic!("two tensors");
        };
        assert_eq!(
            (norm.name.as_str(), norm.shape.as_slice()),
            ("norm", [4].as_slice())
        );
        assert_eq!(
            (w.stored, w.shape.as_slice()),
            (Stored::Q8_0, [3, 64].as_slice())
        );
        assert_eq!(w.end, made.0.len() as u64);
        assert_eq!(w.begin - norm.begin, 32);
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let whole = sound().0;
        for len in 0..whole.len() {
            let cut = Made(whole[..len].to_vec());
            let fault = cut.read().unwrap_err();
            assert!(fault.offset <= len as u64, "{len}: {fault:?}");
        }
    }

    #[test]
    fn lies_are_refused_by_name_before_memory_is_taken_for_them() {
        let with = |change: &dyn Fn(&mut Made)| {
            let mut made = Made::begin(1, 0);
            change(&mut made);
            made.data(4096).reason()
        };
        assert!(Made(b"ggml____".to_vec()).reason().contains("GGUF"));
        assert!(Made::begin(u64::MAX, 0).reason().contains("tensors"));
        assert!(Made::begin(0, u64::MAX).reason().contains("keys"));
        let said = with(&|m| {
            m.tensor("huge", &[1 << 40, 1 << 40], 0, 0);
        });
        assert!(said.contains("larger than any file"), "{said}");
        let said = with(&|m| {
            m.tensor("w", &[4096], 0, 0);
        });
        assert!(said.contains("ends 16384 bytes into the data"), "{said}");
        let said = with(&|m| {
            m.tensor("w", &[33], 8, 0);
        });
        assert!(said.contains("rows of 33"), "{said}");
        let said = with(&|m| {
            m.tensor("w", &[4], 5, 0);
        });
        assert!(said.contains("format 5"), "{said}");
        let said = with(&|m| {
            m.tensor("w", &[4], 0, 3);
        });
        assert!(said.contains("multiple of 32"), "{said}");
        let said = with(&|m| {
            m.tensor("w", &[1; 5], 0, 0);
        });
        assert!(said.contains("5 dimensions"), "{said}");
        let said = with(&|m| {
            m.text(&"n".repeat(300));
        });
        assert!(said.contains("300 bytes"), "{said}");
    }

    #[test]
    fn keys_that_lie_are_refused() {
        let with = |change: &dyn Fn(&mut Made)| {
            let mut made = Made::begin(0, 1);
            change(&mut made);
            made.data(64).reason()
        };
        let said = with(&|m| {
            m.text("general.alignment").u32(4).u32(0);
        });
        assert!(said.contains("general.alignment"), "{said}");
        let said = with(&|m| {
            m.text("t").u32(9).u32(8).u64(1 << 60);
        });
        assert!(said.contains("array `t`"), "{said}");
        let said = with(&|m| {
            m.text("t").u32(9).u32(9).u64(1);
        });
        assert!(said.contains("array of arrays"), "{said}");
        let said = with(&|m| {
            m.text("t").u32(99);
        });
        assert!(said.contains("unknown type 99"), "{said}");
        let said = with(&|m| {
            m.text("t").u32(7).0.push(2);
        });
        assert!(said.contains("neither 0 nor 1"), "{said}");
        let mut twice = Made::begin(0, 2);
        twice.text("k").u32(4).u32(1).text("k").u32(4).u32(2);
        assert!(twice.reason().contains("stands twice"));
    }

    #[test]
    fn tensors_that_overlap_or_share_a_name_are_refused() {
        let mut made = Made::begin(2, 0);
        made.tensor("a", &[16], 0, 0)
            .tensor("b", &[16], 0, 32)
            .data(4096);
        assert!(made.reason().contains("overlap"));
        let mut made = Made::begin(2, 0);
        made.tensor("a", &[8], 0, 0)
            .tensor("a", &[8], 0, 32)
            .data(4096);
        assert!(made.reason().contains("stands twice"));
    }

    #[test]
    fn any_byte_may_be_wrong_without_a_panic() {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let whole = sound().0;
        for _ in 0..20_000 {
            let mut hurt = whole.clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..hurt.len());
                hurt[at] = random.random();
            }
            // Either is an answer; a panic or an abort is none.
            let _ = Made(hurt).read().map(|header| {
                let inside =
                    |place: &Place| place.begin <= place.end && place.end <= whole.len() as u64;
                assert!(header.tensors.iter().all(inside));
            });
        }
    }
}
