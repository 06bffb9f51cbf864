//! An adapter's folder, as peft writes and reads it: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! What this decoder does not compute (other methods, biases, whole modules, ranks that differ, `DoRA`) is refused by its key.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::super::config::{Keys, LAYERS_MAX, ModelConfig, object};
use super::super::error::ModelError;
use super::super::weights::{Origin, Weights};
use super::{Adapter, AdapterShape, Factors, RANK_MAX, Target};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What stands before the name of a matrix in peft's files, and behind it.
const BEFORE: &str = "base_model.model.";
const BEHIND: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

impl Adapter {
    /// Reads an adapter for models of this shape. Every tensor is checked before it is read.
    ///
    /// # Errors
    /// [`ModelError`], naming file, key and tensor; also for an adapter made for another model.
    pub fn load(dir: impl AsRef<Path>, config: &ModelConfig) -> Result<Self, ModelError> {
        let dir = dir.as_ref();
        let origin = Origin::Folder(dir.into());
        let missing = |error| match error {
            ModelError::Missing { path } => ModelError::AdapterMissing { path },
            other => other,
        };
        let (bytes, described) = origin.read_json(CONFIG).map_err(missing)?;
        let path = origin.path(CONFIG);
        let map = object(&path, &bytes)?;
        let shape = Keys::of(&path, &map).adapter_shape(config)?;
        let mut weights = Weights::open_files(&origin, &[WEIGHTS.into()]).map_err(missing)?;
        let name = |matrix: &str, part: usize| format!("{BEFORE}{matrix}.{}", BEHIND[part]);
        let rank = shape.rank;
        let wanted: Vec<(String, [usize; 2])> = shape.matrices(config).collect();
        let tensors = wanted.iter().flat_map(|(matrix, [outputs, inputs])| {
            [
                (name(matrix, 0), vec![rank, *inputs]),
                (name(matrix, 1), vec![*outputs, rank]),
            ]
        });
        weights.check_all(tensors)?;
        let mut files = vec![described];
        files.extend(weights.describe()?);
        let mut factors = BTreeMap::new();
        for (matrix, [outputs, inputs]) in wanted {
            let mut read = |part, shape: [usize; 2]| {
                let mut out = Vec::new();
                weights.floats(&name(&matrix, part), &shape, &mut out)?;
                Ok::<_, ModelError>(out)
            };
            let a = read(0, [rank, inputs])?;
            let b = read(1, [outputs, rank])?;
            factors.insert(matrix, Factors { a, b });
        }
        weights.finish(|_| false)?;
        let name = dir.file_name().unwrap_or(dir.as_os_str());
        Ok(Self {
            shape,
            factors,
            name: name.to_string_lossy().into_owned(),
            files,
        })
    }

    /// Writes the folder, made if it is not there. `base` names the model that it was made for.
    ///
    /// # Errors
    /// [`ModelError::Io`]: nothing half-written has the name of a file that counts.
    pub fn save(&self, dir: impl AsRef<Path>, base: &str) -> Result<(), ModelError> {
        let dir = dir.as_ref();
        let fault = |path: &Path| {
            let path = path.to_owned();
            move |source| ModelError::Io { path, source }
        };
        std::fs::create_dir_all(dir).map_err(fault(dir))?;
        let mut config = serde_json::to_string_pretty(&self.config(base)).unwrap_or_default();
        config.push('\n');
        let weights = dir.join(WEIGHTS);
        let bytes = self
            .tensors()
            .map_err(|error| fault(&weights)(std::io::Error::other(error)))?;
        for (path, bytes) in [(weights, bytes), (dir.join(CONFIG), config.into_bytes())] {
            replace(&path, &bytes).map_err(fault(&path))?;
        }
        Ok(())
    }

    fn config(&self, base: &str) -> Value {
        let AdapterShape {
            rank,
            alpha,
            targets,
            layers,
        } = &self.shape;
        let targets: Vec<&str> = targets.iter().map(|target| target.name()).collect();
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": rank,
            "lora_alpha": alpha,
            "target_modules": targets,
            "layers_to_transform": layers,
            "layers_pattern": "layers",
            "bias": "none",
            "lora_dropout": 0.0,
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "modules_to_save": null,
            "use_rslora": false,
            "use_dora": false,
        })
    }

    fn tensors(&self) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let rank = self.shape.rank;
        let bytes =
            |floats: &[f32]| -> Vec<u8> { floats.iter().flat_map(|x| x.to_le_bytes()).collect() };
        let each: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .factors
            .iter()
            .flat_map(|(matrix, Factors { a, b })| {
                let name = |part: usize| format!("{BEFORE}{matrix}.{}", BEHIND[part]);
                [
                    (name(0), vec![rank, a.len() / rank], bytes(a)),
                    (name(1), vec![b.len() / rank, rank], bytes(b)),
                ]
            })
            .collect();
        let views = each.iter().map(|(name, shape, bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.as_str(), view))
        });
        let views: Vec<(&str, TensorView<'_>)> = views.collect::<Result<_, _>>()?;
        let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(views, Some(about))
    }
}

/// Puts a whole file in place, or leaves what was there.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut new: PathBuf = path.into();
    new.as_mut_os_string().push(".new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

impl Keys<'_> {
    fn adapter_shape(&self, config: &ModelConfig) -> Result<AdapterShape, ModelError> {
        let refuse = |key: &'static str, allowed: &[Value]| match self.get(key) {
            Some(found) if !allowed.contains(found) => {
                let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
                Err(self.wrong(key, found, allowed.join(" or ")))
            }
            _ => Ok(()),
        };
        match self.get("peft_type").and_then(Value::as_str) {
            Some("LORA") => {}
            other => return Err(self.wrong("peft_type", &other.unwrap_or("absent"), "LORA")),
        }
        refuse("bias", &[json!("none")])?;
        for key in ["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"] {
            refuse(key, &[json!(false)])?;
        }
        for key in ["rank_pattern", "alpha_pattern"] {
            refuse(key, &[json!({})])?;
        }
        // Absent, or nothing in it.
        for key in [
            "modules_to_save",
            "exclude_modules",
            "target_parameters",
            "trainable_token_indices",
            "layer_replication",
            "alora_invocation_tokens",
        ] {
            refuse(key, &[json!([])])?;
        }
        // Other methods under the same name.
        for key in [
            "use_bdlora",
            "arrow_config",
            "kasa_config",
            "monteclora_config",
            "velora_config",
        ] {
            refuse(key, &[json!(false), json!({})])?;
        }
        let rank = self.count("r", RANK_MAX, None)?;
        let alpha = match self.get("lora_alpha") {
            None => 8.0,
            Some(value) => value
                .as_f64()
                .filter(|alpha| alpha.is_finite() && alpha.abs() <= 1e6)
                .ok_or_else(|| self.wrong("lora_alpha", value, "a number"))?
                as f32,
        };
        // The scale is alpha / sqrt(rank) there (Kalajdzievski 2023).
        let alpha = match self.flag("use_rslora", false)? {
            true => alpha * (rank as f32).sqrt(),
            false => alpha,
        };
        Ok(AdapterShape {
            rank,
            alpha,
            targets: self.targets()?,
            layers: self.layers(config)?,
        })
    }

    fn targets(&self) -> Result<Vec<Target>, ModelError> {
        let names = Target::ALL.map(Target::name).join(", ");
        let found = self.get("target_modules").unwrap_or(&Value::Null);
        let wrong = || {
            self.wrong(
                "target_modules",
                found,
                format!("a list of some of {names}"),
            )
        };
        let of = |value: &Value| {
            let name = value.as_str()?;
            Target::ALL.into_iter().find(|target| target.name() == name)
        };
        let list = found.as_array().filter(|list| !list.is_empty());
        let targets: Option<Vec<Target>> = list.ok_or_else(wrong)?.iter().map(of).collect();
        let mut targets = targets.ok_or_else(wrong)?;
        targets.sort();
        targets.dedup();
        Ok(targets)
    }

    fn layers(&self, config: &ModelConfig) -> Result<Vec<usize>, ModelError> {
        const KEY: &str = "layers_to_transform";
        let Some(found) = self.get(KEY) else {
            return Ok((0..config.layers).collect());
        };
        let last = config.layers.min(LAYERS_MAX) - 1;
        let wrong = || self.wrong(KEY, found, format!("layers from 0 to {last}"));
        let of = |value: &Value| {
            let layer = usize::try_from(value.as_u64()?).ok()?;
            (layer <= last).then_some(layer)
        };
        let each = match found {
            Value::Array(list) if !list.is_empty() => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let layers: Option<Vec<usize>> = each.iter().map(of).collect();
        let mut layers = layers.ok_or_else(wrong)?;
        layers.sort_unstable();
        layers.dedup();
        Ok(layers)
    }
}
