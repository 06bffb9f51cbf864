//! What the manifest says of a session's model and streams.

use crate::cli::exit::{Exit, Failure};
use crate::config::Plan;
use crate::decode::Backend;
use crate::engine::conduct::{FeedbackSetting, StateSetting};
use crate::engine::eyes::{self, Chosen};
use crate::engine::streams::Streams;
use crate::session::{Folder, Manifest, ModelRecord, StreamRecord};
use crate::source::StreamSpec;
use crate::source::terminal::TERMINAL_STREAM;

pub(super) fn write_manifest(folder: &Folder, manifest: &Manifest) -> Result<(), Failure> {
    folder
        .write_manifest(manifest)
        .map_err(|error| Failure::new(Exit::RecordingIncomplete, error))
}

pub(super) fn models(model: &Backend) -> Vec<ModelRecord> {
    let record = |part: crate::decode::Part| ModelRecord {
        role: part.role.into(),
        name: part.name,
        bytes: part.bytes,
        sha256: part.sha256,
        precision: part.precision.map(|precision| precision.to_string()),
    };
    model.parts().into_iter().map(record).collect()
}

/// How the gaze stream is read; opening it has checked that it can be.
pub(super) fn chosen(plan: &Plan, spec: &StreamSpec) -> Option<Chosen> {
    let section = plan.gaze.as_ref()?;
    eyes::choose(section, &plan.screen, spec).ok()
}

pub(super) fn stream_records(
    plan: &Plan,
    streams: &Streams,
    markers: &StreamSpec,
    state: Option<&StateSetting>,
    feedback: Option<&FeedbackSetting>,
) -> Vec<StreamRecord> {
    let of_network = [
        ("eeg", streams.eeg.as_ref().map(|source| source.spec())),
        ("gaze", streams.gaze.as_ref().map(|source| source.spec())),
        ("keys", streams.keys.as_ref().map(|source| source.spec())),
    ];
    let typed = streams.typed.iter().map(|source| {
        let spec = source.spec();
        let role = if spec.name == TERMINAL_STREAM {
            "terminal"
        } else {
            "window"
        };
        (role, Some(spec))
    });
    let ours = [
        ("markers", Some(markers)),
        ("state", state.map(|state| &state.spec)),
        ("feedback", feedback.map(|feedback| &feedback.spec)),
    ];
    of_network
        .into_iter()
        .chain(typed)
        .chain(ours)
        .filter_map(|(role, spec)| {
            let spec = spec?;
            Some(StreamRecord {
                role: role.into(),
                spec: spec.clone(),
                read_as: chosen(plan, spec)
                    .filter(|_| role == "gaze")
                    .map(|c| c.words),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::decode::{Embedder, Model};

    #[test]
    fn an_embedder_stands_beside_the_model_with_the_hash_of_each_file() {
        let before = models(&Arc::new(Model::embedded().unwrap()).into());
        assert!(before.iter().all(|record| record.role == "base"));
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden/decode/embedder/bert");
        let embedder = Arc::new(Embedder::load(folder).unwrap());
        let model = Model::embedded().unwrap();
        let records = models(&Arc::new(model.with_embedder(Arc::clone(&embedder))).into());
        let (base, beside) = records.split_at(before.len());
        assert_eq!(base, before);
        let weights = |record: &&ModelRecord| record.name.ends_with(".safetensors");
        assert_eq!(records.iter().filter(weights).count(), 2);
        for record in &records {
            let held = weights(&record).then_some("f32");
            assert_eq!(record.precision.as_deref(), held, "{record:?}");
        }
        let files = &embedder.card().files;
        assert_eq!(beside.len(), files.len());
        for (record, file) in beside.iter().zip(files) {
            assert_eq!(
                (record.role.as_str(), &record.sha256),
                ("embedder", &file.sha256)
            );
            assert_eq!(record.name, format!("bert/{}", file.name));
        }
    }
}
