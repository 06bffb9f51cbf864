//! The files of a model: opened, bounded and verified here, before the tensor library sees a byte of them.
//!
//! A safetensors file is `u64 header length | JSON header | data`. Every claim of the header is checked against the
//! file's true length, and every tensor against the configuration, so that nothing is allocated for a lie.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::error::ModelError;
use super::gguf;
use super::header::{Entry, read_header};
use super::stored::Stored;

/// Largest JSON file accepted (`config.json`, the index), bytes.
const JSON_BYTES_MAX: u64 = 16 << 20;
/// Largest tokenizer accepted, bytes.
pub(super) const TOKENIZER_BYTES_MAX: u64 = 64 << 20;
/// Largest weights file accepted, bytes.
const WEIGHTS_BYTES_MAX: u64 = 64 << 30;
/// A file of a model and what it was when it was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelFile {
    /// Name within the folder.
    pub name: String,
    /// Size, bytes.
    pub bytes: u64,
    /// SHA-256 of the whole file, lower-case hexadecimal.
    pub sha256: String,
}

impl ModelFile {
    /// Whether matrices stand in it.
    #[must_use]
    pub fn has_weights(&self) -> bool {
        let end = Path::new(&self.name).extension();
        end.is_some_and(|end| end == "safetensors" || end == "gguf")
    }
}

/// Where the files of a model are.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A folder.
    Folder(PathBuf),
    /// Files compiled into the program, by name.
    Embedded(&'static [(&'static str, &'static [u8])]),
    /// One file that holds everything: GGUF.
    File(PathBuf),
}

trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

impl Origin {
    /// For messages.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(dir) => dir.join(name),
            Self::Embedded(_) => Path::new("<embedded>").join(name),
            Self::File(path) => path.clone(),
        }
    }

    fn open(&self, name: &str, limit_bytes: u64) -> Result<(Box<dyn Bytes>, u64), ModelError> {
        let path = self.path(name);
        let (bytes, len): (Box<dyn Bytes>, u64) = match self {
            Self::Folder(_) | Self::File(_) => {
                let failed = |source: std::io::Error| match source.kind() {
                    std::io::ErrorKind::NotFound => ModelError::Missing { path: path.clone() },
                    _ => ModelError::Io {
                        path: path.clone(),
                        source,
                    },
                };
                // Looked at before it is opened: to open a pipe is to wait for somebody who writes to it.
                if !std::fs::metadata(&path).map_err(failed)?.is_file() {
                    return Err(ModelError::NotAFile { path });
                }
                let file = File::open(&path).map_err(failed)?;
                let meta = file.metadata().map_err(failed)?;
                (Box::new(file), meta.len())
            }
            Self::Embedded(files) => {
                let found = files.iter().find(|(known, _)| *known == name);
                let (_, bytes) = found.ok_or_else(|| ModelError::Missing { path: path.clone() })?;
                (Box::new(Cursor::new(*bytes)), bytes.len() as u64)
            }
        };
        if len > limit_bytes {
            return Err(ModelError::TooLarge {
                path,
                bytes: len,
                limit_bytes,
            });
        }
        Ok((bytes, len))
    }

    /// A whole file, and what it is.
    pub(super) fn read(
        &self,
        name: &str,
        limit_bytes: u64,
    ) -> Result<(Vec<u8>, ModelFile), ModelError> {
        let (mut file, len) = self.open(name, limit_bytes)?;
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        // The file may have grown since its length was asked for.
        file.as_mut()
            .take(limit_bytes)
            .read_to_end(&mut bytes)
            .map_err(|source| ModelError::Io {
                path: self.path(name),
                source,
            })?;
        let sha256 = hexadecimal(&Sha256::digest(&bytes));
        let described = ModelFile {
            name: name.into(),
            bytes: bytes.len() as u64,
            sha256,
        };
        Ok((bytes, described))
    }

    /// `config.json` or another small JSON file.
    pub(super) fn read_json(&self, name: &str) -> Result<(Vec<u8>, ModelFile), ModelError> {
        self.read(name, JSON_BYTES_MAX)
    }

    /// The names of the weights files: those of the index, or `model.safetensors`, or all there are.
    fn weights_names(&self) -> Result<Vec<String>, ModelError> {
        const INDEX: &str = "model.safetensors.index.json";
        const SINGLE: &str = "model.safetensors";
        match self.read_json(INDEX) {
            Ok((bytes, _)) => return names_in_index(&self.path(INDEX), &bytes),
            Err(ModelError::Missing { .. }) => {}
            Err(other) => return Err(other),
        }
        match self {
            Self::Folder(dir) if !dir.join(SINGLE).exists() => {
                let entries = std::fs::read_dir(dir).map_err(|source| ModelError::Io {
                    path: dir.clone(),
                    source,
                })?;
                let mut names: Vec<String> = entries
                    .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                    .filter(|name| name.ends_with(".safetensors"))
                    .collect();
                names.sort();
                if names.is_empty() {
                    Err(ModelError::Missing {
                        path: dir.join(SINGLE),
                    })
                } else {
                    Ok(names)
                }
            }
            _ => Ok(vec![SINGLE.into()]),
        }
    }
}

fn names_in_index(path: &Path, bytes: &[u8]) -> Result<Vec<String>, ModelError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = parse_json(path, bytes)?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    for name in &names {
        // An index must not reach out of its folder.
        if Path::new(name).components().count() != 1
            || !name.ends_with(".safetensors")
            || name.contains(['/', '\\'])
        {
            return Err(ModelError::Config {
                path: path.into(),
                key: "weight_map",
                found: format!("{name:?}"),
                expected: "names of .safetensors files in the same folder".into(),
            });
        }
    }
    Ok(names)
}

/// Parses JSON, naming file, line and column of a fault.
pub(super) fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ModelError> {
    serde_json::from_slice(bytes).map_err(|e| ModelError::Json {
        path: path.into(),
        line: e.line(),
        column: e.column(),
        reason: e.to_string(),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

struct Opened {
    name: String,
    path: PathBuf,
    bytes: Box<dyn Bytes>,
    len: u64,
}

/// All tensors of a model, each verified to lie within its file and still unread.
pub(super) struct Weights {
    origin: Origin,
    files: Vec<Opened>,
    entries: BTreeMap<String, Entry>,
}

/// A tensor of the expected shape in a format that is read.
#[derive(Debug)]
pub(super) struct Found {
    entry: Entry,
    pub(super) stored: Stored,
    /// Numbers of a row.
    inner: u64,
}

/// Bytes read at once.
const CHUNK_BYTES: u64 = 1 << 20;

impl Weights {
    /// Opens and verifies every weights file of a folder.
    pub(super) fn open(origin: &Origin) -> Result<Self, ModelError> {
        Self::open_files(origin, &origin.weights_names()?)
    }

    /// Opens and verifies these weights files of a folder.
    pub(super) fn open_files(origin: &Origin, names: &[String]) -> Result<Self, ModelError> {
        let mut weights = Self {
            origin: origin.clone(),
            files: Vec::new(),
            entries: BTreeMap::new(),
        };
        for name in names {
            weights.add_file(name)?;
        }
        Ok(weights)
    }

    fn add_file(&mut self, name: &str) -> Result<(), ModelError> {
        let (mut bytes, len) = self.origin.open(name, WEIGHTS_BYTES_MAX)?;
        let path = self.origin.path(name);
        let file = self.files.len();
        for (tensor, entry) in read_header(&path, &mut bytes, len, file)? {
            let begin = entry.begin;
            if self.entries.insert(tensor.clone(), entry).is_some() {
                let reason = format!("tensor `{tensor}` stands in two files");
                return Err(ModelError::Header {
                    path,
                    offset: begin,
                    reason,
                });
            }
        }
        self.files.push(Opened {
            name: name.into(),
            path,
            bytes,
            len,
        });
        Ok(())
    }

    /// Opens and verifies a GGUF file.
    pub(super) fn open_gguf(origin: &Origin) -> Result<(Self, gguf::Header), ModelError> {
        let (bytes, len) = origin.open("", WEIGHTS_BYTES_MAX)?;
        let path = origin.path("");
        let mut bytes = BufReader::new(bytes);
        let header = gguf::read(&mut bytes, len).map_err(|fault| ModelError::Gguf {
            path: path.clone(),
            offset: fault.offset,
            reason: fault.reason,
        })?;
        let bytes = Box::new(bytes.into_inner());
        let name = path.file_name().unwrap_or_default();
        let opened = Opened {
            name: name.to_string_lossy().into_owned(),
            path,
            bytes,
            len,
        };
        let weights = Self {
            origin: origin.clone(),
            files: vec![opened],
            entries: BTreeMap::new(),
        };
        Ok((weights, header))
    }

    /// Takes in the tensors of a GGUF file. `head_dim` where the rows of queries and keys lie interleaved.
    ///
    /// # Errors
    /// [`ModelError::Header`] for two that are the same one.
    pub(super) fn add_gguf(
        &mut self,
        header: gguf::Header,
        head_dim: Option<usize>,
    ) -> Result<(), ModelError> {
        for place in header.tensors {
            let name = gguf::told(&place.name);
            let interleaved = head_dim.filter(|_| gguf::interleaved(&name));
            let entry = Entry {
                file: 0,
                name: place.name,
                format: format!("{:?}", place.stored),
                stored: Some(place.stored),
                shape: place.shape,
                begin: place.begin,
                end: place.end,
                interleaved,
            };
            let offset = entry.begin;
            if self.entries.insert(name.clone(), entry).is_some() {
                return Err(ModelError::Header {
                    path: self.origin.path(""),
                    offset,
                    reason: format!("tensor `{name}` stands there twice, under two names"),
                });
            }
        }
        Ok(())
    }

    /// What the files are. Reads each from its beginning to its end.
    pub(super) fn describe(&mut self) -> Result<Vec<ModelFile>, ModelError> {
        let mut block = vec![0_u8; CHUNK_BYTES as usize];
        let mut described = Vec::new();
        for file in &mut self.files {
            let io = |source| ModelError::Io {
                path: file.path.clone(),
                source,
            };
            file.bytes.seek(SeekFrom::Start(0)).map_err(io)?;
            let mut hash = Sha256::new();
            loop {
                let n = file.bytes.read(&mut block).map_err(io)?;
                if n == 0 {
                    break;
                }
                hash.update(&block[..n]);
            }
            described.push(ModelFile {
                name: file.name.clone(),
                bytes: file.len,
                sha256: hexadecimal(&hash.finalize()),
            });
        }
        Ok(described)
    }

    /// How a tensor is stored, if it is there in a format that is read.
    pub(super) fn stored(&self, tensor: &str) -> Option<Stored> {
        self.entries.get(tensor)?.stored
    }

    /// What a tensor is called in messages about this file.
    fn spoken(&self, tensor: &str) -> String {
        match self.origin {
            Origin::File(_) => gguf::spoken(tensor),
            _ => tensor.into(),
        }
    }

    /// Whether a tensor is there, of the expected shape and in a format that is read; how it is stored, and the numbers of a row.
    fn check(&self, tensor: &str, expected: &[usize]) -> Result<(Stored, u64), ModelError> {
        let Some(entry) = self.entries.get(tensor) else {
            return Err(ModelError::TensorMissing {
                path: self.origin.path(""),
                tensor: self.spoken(tensor),
            });
        };
        let path = || self.files[entry.file].path.clone(); // `file` was the length of `files` when the entry was made
        let expected: Vec<u64> = expected.iter().map(|&n| n as u64).collect();
        if entry.shape != expected {
            return Err(ModelError::TensorShape {
                path: path(),
                tensor: entry.name.clone(),
                offset: entry.begin,
                found: entry.shape.clone(),
                expected,
            });
        }
        let inner = match entry.shape.as_slice() {
            // A bias whose order is another: each number is a row.
            [_] if entry.interleaved.is_some() => 1,
            shape => shape.last().copied().unwrap_or(1),
        };
        match entry.stored {
            Some(stored) if inner % stored.block().0 == 0 && inner > 0 => Ok((stored, inner)),
            _ => Err(ModelError::TensorFormat {
                path: path(),
                tensor: entry.name.clone(),
                offset: entry.begin,
                found: entry.format.clone(),
            }),
        }
    }

    /// Checks that all of these tensors are there, in these shapes: nothing is allocated for one that is not.
    pub(super) fn check_all(
        &self,
        mut tensors: impl Iterator<Item = (String, Vec<usize>)>,
    ) -> Result<(), ModelError> {
        tensors.try_for_each(|(tensor, shape)| self.check(&tensor, &shape).map(|_| ()))
    }

    /// Whether a tensor of this name is there, whatever it is.
    pub(super) fn has(&self, tensor: &str) -> bool {
        self.entries.contains_key(tensor)
    }

    /// Strikes a tensor off the list, checked against what is expected of it.
    pub(super) fn take(&mut self, tensor: &str, expected: &[usize]) -> Result<Found, ModelError> {
        let (stored, inner) = self.check(tensor, expected)?;
        let entry = self.entries.remove(tensor);
        let entry = entry.ok_or_else(|| ModelError::TensorMissing {
            path: self.origin.path(""),
            tensor: tensor.into(),
        })?;
        Ok(Found {
            entry,
            stored,
            inner,
        })
    }

    /// Reads a tensor a few rows at a time, in Hugging Face's order, every number and scale of them finite.
    pub(super) fn rows(
        &mut self,
        found: &Found,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), ModelError> {
        let Found {
            entry,
            stored,
            inner,
        } = found;
        let opened = &mut self.files[entry.file]; // as in `take`
        let (numbers, block_bytes) = stored.block();
        let row_bytes = inner / numbers * block_bytes;
        let head = entry.interleaved.map_or(1, |head_dim| head_dim as u64);
        let chunk = (CHUNK_BYTES / (row_bytes * head)).max(1) * head * row_bytes;
        let mut raw = Vec::new();
        let mut turned = Vec::new();
        let mut at = entry.begin;
        let io = |source| ModelError::Io {
            path: opened.path.clone(),
            source,
        };
        opened.bytes.seek(SeekFrom::Start(at)).map_err(io)?;
        while at < entry.end {
            raw.resize(chunk.min(entry.end - at) as usize, 0);
            opened.bytes.read_exact(&mut raw).map_err(io)?;
            if let Some((offset, found)) = stored.not_finite(&raw) {
                return Err(ModelError::NonFinite {
                    path: opened.path.clone(),
                    tensor: entry.name.clone(),
                    offset: at + offset as u64,
                    found,
                });
            }
            at += raw.len() as u64;
            match entry.interleaved {
                None => each(&raw),
                Some(head_dim) => {
                    separate(&raw, head_dim, row_bytes as usize, &mut turned);
                    each(&turned);
                }
            }
        }
        Ok(())
    }

    /// Reads one tensor as f32, appended to `out`.
    pub(super) fn floats(
        &mut self,
        tensor: &str,
        expected: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let found = self.take(tensor, expected)?;
        out.reserve_exact(expected.iter().product());
        self.rows(&found, |bytes| found.stored.floats(bytes, out))
    }

    /// Refuses tensors nobody took: a model that has them computes something else.
    pub(super) fn finish(&mut self, harmless: impl Fn(&str) -> bool) -> Result<(), ModelError> {
        self.entries.retain(|name, _| !harmless(name));
        match self.entries.pop_first() {
            None => Ok(()),
            Some((_, entry)) => Err(ModelError::TensorUnknown {
                path: self.files[entry.file].path.clone(), // as in `take`
                tensor: entry.name,
                offset: entry.begin,
            }),
        }
    }
}

/// Puts the rows of whole heads into the order in which the first elements of all rotated pairs stand before the second.
fn separate(rows: &[u8], head_dim: usize, row_bytes: usize, out: &mut Vec<u8>) {
    out.clear();
    for head in rows.chunks(head_dim * row_bytes) {
        for second in 0..2 {
            for pair in 0..head_dim / 2 {
                let row = 2 * pair + second;
                // The shape was checked: rows are a whole number of heads.
                out.extend(&head[row * row_bytes..(row + 1) * row_bytes]);
            }
        }
    }
}
