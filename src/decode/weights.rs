//! The files of a model: opened, bounded and verified here, before the tensor library sees a byte of them.
//!
//! A safetensors file is `u64 header length | JSON header | data`. Every claim of the header is checked against the
//! file's true length, and every tensor against the configuration, so that nothing is allocated for a lie.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::error::ModelError;
use super::header::{Entry, read_header};

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

/// Where the files of a model are.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A folder.
    Folder(PathBuf),
    /// Files compiled into the program, by name.
    Embedded(&'static [(&'static str, &'static [u8])]),
}

trait Bytes: Read + Seek + Send {}
impl<T: Read + Seek + Send> Bytes for T {}

impl Origin {
    /// For messages.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(dir) => dir.join(name),
            Self::Embedded(_) => Path::new("<embedded>").join(name),
        }
    }

    fn open(&self, name: &str, limit_bytes: u64) -> Result<(Box<dyn Bytes>, u64), ModelError> {
        let path = self.path(name);
        let (bytes, len): (Box<dyn Bytes>, u64) = match self {
            Self::Folder(_) => {
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

/// Number formats a weight may be stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    F32,
    F16,
    Bf16,
}

impl Format {
    const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

struct Opened {
    path: PathBuf,
    bytes: Box<dyn Bytes>,
}

/// All tensors of a model, each verified to lie within its file and still unread.
pub(super) struct Weights {
    origin: Origin,
    files: Vec<Opened>,
    entries: BTreeMap<String, Entry>,
    described: Vec<ModelFile>,
}

impl Weights {
    /// Opens and verifies every weights file of `origin`.
    pub(super) fn open(origin: &Origin) -> Result<Self, ModelError> {
        let mut weights = Self {
            origin: origin.clone(),
            files: Vec::new(),
            entries: BTreeMap::new(),
            described: Vec::new(),
        };
        for name in origin.weights_names()? {
            weights.add_file(&name)?;
        }
        Ok(weights)
    }

    fn add_file(&mut self, name: &str) -> Result<(), ModelError> {
        let (mut bytes, len) = self.origin.open(name, WEIGHTS_BYTES_MAX)?;
        let path = self.origin.path(name);
        let io = |source| ModelError::Io {
            path: path.clone(),
            source,
        };
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
        bytes.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut hash = Sha256::new();
        let mut block = vec![0_u8; 1 << 20];
        loop {
            let n = bytes.read(&mut block).map_err(io)?;
            if n == 0 {
                break;
            }
            hash.update(&block[..n]);
        }
        self.described.push(ModelFile {
            name: name.into(),
            bytes: len,
            sha256: hexadecimal(&hash.finalize()),
        });
        self.files.push(Opened { path, bytes });
        Ok(())
    }

    /// What the files are.
    pub(super) fn described(&self) -> Vec<ModelFile> {
        self.described.clone()
    }

    /// Reads one tensor as f32, appended to `out`, and strikes it off the list.
    pub(super) fn take(
        &mut self,
        tensor: &str,
        expected: &[usize],
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let Some(entry) = self.entries.remove(tensor) else {
            return Err(ModelError::TensorMissing {
                path: self.origin.path(""),
                tensor: tensor.into(),
            });
        };
        let opened = &mut self.files[entry.file]; // `file` was the length of `files` when the entry was made
        let path = || opened.path.clone();
        let expected: Vec<u64> = expected.iter().map(|&n| n as u64).collect();
        if entry.shape != expected {
            let (tensor, offset, found) = (tensor.into(), entry.begin, entry.shape);
            return Err(ModelError::TensorShape {
                path: path(),
                tensor,
                offset,
                found,
                expected,
            });
        }
        let format = match entry.format.as_str() {
            "F32" => Format::F32,
            "F16" => Format::F16,
            "BF16" => Format::Bf16,
            other => {
                let (tensor, offset, found) = (tensor.into(), entry.begin, other.into());
                return Err(ModelError::TensorFormat {
                    path: path(),
                    tensor,
                    offset,
                    found,
                });
            }
        };
        let mut raw = vec![0_u8; usize::try_from(entry.end - entry.begin).unwrap_or(usize::MAX)];
        opened
            .bytes
            .seek(SeekFrom::Start(entry.begin))
            .and_then(|_| opened.bytes.read_exact(&mut raw))
            .map_err(|source| ModelError::Io {
                path: opened.path.clone(),
                source,
            })?;
        let first = out.len();
        out.reserve(raw.len() / format.size());
        match format {
            Format::F32 => out.extend(raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Format::F16 => out.extend(
                raw.as_chunks()
                    .0
                    .iter()
                    .map(|b| half::f16::from_le_bytes(*b).to_f32()),
            ),
            Format::Bf16 => out.extend(
                raw.as_chunks()
                    .0
                    .iter()
                    .map(|b| half::bf16::from_le_bytes(*b).to_f32()),
            ),
        }
        if let Some(at) = out[first..].iter().position(|x| !x.is_finite()) {
            let offset = entry.begin + (at * format.size()) as u64;
            let (path, found) = (opened.path.clone(), out[first + at]);
            return Err(ModelError::NonFinite {
                path,
                tensor: tensor.into(),
                offset,
                found,
            });
        }
        Ok(())
    }

    /// Refuses tensors nobody took: a model that has them computes something else.
    pub(super) fn finish(mut self, harmless: impl Fn(&str) -> bool) -> Result<(), ModelError> {
        self.entries.retain(|name, _| !harmless(name));
        match self.entries.pop_first() {
            None => Ok(()),
            Some((tensor, entry)) => Err(ModelError::TensorUnknown {
                path: self.files[entry.file].path.clone(), // as in `take`
                tensor,
                offset: entry.begin,
            }),
        }
    }
}
