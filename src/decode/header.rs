//! The header of a safetensors file: every claim is checked against the file's true length.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::error::ModelError;
use super::stored::Stored;

/// Largest safetensors header accepted, bytes.
const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Most dimensions a tensor may have.
const RANK_MAX: usize = 4;

/// Where one tensor is, as its file's header says and as was checked.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: usize,
    /// Its name in the file.
    pub(super) name: String,
    /// Name of its format, and the format where this program reads it.
    pub(super) format: String,
    pub(super) stored: Option<Stored>,
    pub(super) shape: Vec<u64>,
    /// Bytes from the beginning of the file.
    pub(super) begin: u64,
    pub(super) end: u64,
    /// Width of a head whose rows lie in the order of GGUF's `llama`: the two halves of a rotated pair side by side.
    pub(super) interleaved: Option<usize>,
}

/// Reads and checks the header of one file of `len` bytes.
pub(super) fn read_header(
    path: &Path,
    bytes: &mut impl Read,
    len: u64,
    file: usize,
) -> Result<Vec<(String, Entry)>, ModelError> {
    let io = |source| ModelError::Io {
        path: path.into(),
        source,
    };
    let short = |what, expected_bytes| ModelError::Length {
        path: path.into(),
        what,
        expected_bytes,
        found_bytes: len,
    };
    let bad = |offset, reason: String| ModelError::Header {
        path: path.into(),
        offset,
        reason,
    };
    if len < 8 {
        return Err(short("the length of the header", 8));
    }
    let mut prefix = [0_u8; 8];
    bytes.read_exact(&mut prefix).map_err(io)?;
    let header_len = u64::from_le_bytes(prefix);
    if header_len > HEADER_BYTES_MAX {
        return Err(bad(
            0,
            format!("it claims {header_len} bytes, at most {HEADER_BYTES_MAX} are accepted"),
        ));
    }
    let data = 8 + header_len;
    if data > len {
        return Err(short("the header", data));
    }
    let mut json = vec![0_u8; header_len as usize]; // <= HEADER_BYTES_MAX and <= the file
    bytes.read_exact(&mut json).map_err(io)?;
    let header: BTreeMap<String, Value> =
        serde_json::from_slice(&json).map_err(|e| bad(8 + e.column() as u64, e.to_string()))?;
    let mut entries = Vec::with_capacity(header.len());
    for (name, value) in header {
        if name == "__metadata__" {
            continue;
        }
        let entry = read_entry(&name, &value, data, len, file).map_err(|fault| match fault {
            Fault::Reason(reason) => bad(8, format!("tensor `{name}`: {reason}")),
            Fault::Short(end) => ModelError::Length {
                path: path.into(),
                what: "the data of the tensors",
                expected_bytes: end,
                found_bytes: len,
            },
        })?;
        entries.push((name, entry));
    }
    entries.sort_by_key(|(_, entry)| (entry.begin, entry.end));
    let mut end = data;
    for (name, entry) in &entries {
        if entry.begin != end {
            return Err(bad(
                8,
                format!(
                    "tensor `{name}` begins at byte {}, the one before ends at {end}",
                    entry.begin
                ),
            ));
        }
        end = entry.end;
    }
    if end != len {
        return Err(short("the data of the tensors", end));
    }
    Ok(entries)
}

enum Fault {
    Reason(String),
    Short(u64),
}

fn read_entry(name: &str, value: &Value, data: u64, len: u64, file: usize) -> Result<Entry, Fault> {
    let reason = |text: &str| Fault::Reason(text.into());
    let format = value
        .get("dtype")
        .and_then(Value::as_str)
        .ok_or_else(|| reason("no dtype"))?;
    let numbers = |key: &str| -> Option<Vec<u64>> {
        value
            .get(key)?
            .as_array()?
            .iter()
            .map(Value::as_u64)
            .collect()
    };
    let shape = numbers("shape")
        .filter(|s| s.len() <= RANK_MAX)
        .ok_or_else(|| reason("no usable shape"))?;
    let offsets = numbers("data_offsets").ok_or_else(|| reason("no data_offsets"))?;
    let &[begin, end] = offsets.as_slice() else {
        return Err(reason("data_offsets are not two numbers"));
    };
    if begin > end {
        return Err(Fault::Reason(format!(
            "data_offsets go backwards, {begin} to {end}"
        )));
    }
    let end = data
        .checked_add(end)
        .ok_or_else(|| reason("data_offsets overflow"))?;
    if end > len {
        return Err(Fault::Short(end));
    }
    let size = match format {
        "F64" | "I64" | "U64" => 8,
        "F32" | "I32" | "U32" => 4,
        "F16" | "BF16" | "I16" | "U16" => 2,
        "I8" | "U8" | "BOOL" | "F8_E4M3" | "F8_E5M2" => 1,
        other => return Err(Fault::Reason(format!("unknown dtype `{other}`"))),
    };
    let expected = shape
        .iter()
        .try_fold(size, |product: u64, &n| product.checked_mul(n));
    if expected != Some(end - data - begin) {
        let bytes = end - data - begin;
        return Err(Fault::Reason(format!(
            "shape {shape:?} of {format} does not fill its {bytes} bytes"
        )));
    }
    Ok(Entry {
        file,
        name: name.into(),
        format: format.into(),
        stored: Stored::named(format),
        interleaved: None,
        shape,
        begin: data + begin,
        end,
    })
}
