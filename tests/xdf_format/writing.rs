//! What we write is what anybody reads.

use std::{
    io::{self, Write},
    os::unix::fs::PermissionsExt,
};

use razvilka::{
    recording::{
        Recording, Samples,
        xdf::{
            Chunk, ClockMeasurement, Limits, Medium, Reader, StreamId, Values, WriteError, Writer,
        },
    },
    source::{ClockOffset, Format, StreamSpec},
};

use crate::{
    golden::{ask_pyxdf, assert_agrees},
    samples::{chunk_starts, small_file, spec},
};

fn every_format() -> Vec<(StreamSpec, Values)> {
    vec![
        (
            spec("int8", Format::Int8, 2, 10.0),
            Values::Int8(vec![i8::MIN, i8::MAX, 0, -1]),
        ),
        (
            spec("int16", Format::Int16, 2, 10.0),
            Values::Int16(vec![i16::MIN, i16::MAX, 0, -1]),
        ),
        (
            spec("int32", Format::Int32, 1, 10.0),
            Values::Int32(vec![i32::MIN, i32::MAX]),
        ),
        (
            spec("int64", Format::Int64, 1, 10.0),
            Values::Int64(vec![i64::MIN, i64::MAX]),
        ),
        (
            spec("float32", Format::Float32, 1, 0.0),
            Values::Float32(vec![f32::MIN_POSITIVE, -1.5e30]),
        ),
        (
            spec("double64", Format::Double64, 1, 0.1 + 0.2),
            Values::Double64(vec![f64::MAX, -0.0]),
        ),
        (
            spec("<Текст> & \"co\"", Format::String, 2, 0.0),
            Values::Text(["", "развилка", "👩‍🔬", "a\nb"].map(String::from).to_vec()),
        ),
    ]
}

#[test]
fn every_format_reads_back_identical() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let stamps = [0.1, 653_150.379_117_3];
    let mut ids = Vec::new();
    for (spec, values) in every_format() {
        let id = writer.add_stream(&spec).unwrap();
        writer.samples(id, &stamps, &values).unwrap();
        ids.push(id);
    }
    let chunks: Vec<Chunk> = Reader::new(&writer.finish().unwrap()[..])
        .collect::<Result<_, _>>()
        .unwrap();
    for (id, (spec, values)) in ids.into_iter().zip(every_format()) {
        let header = chunks.iter().find_map(|chunk| match chunk {
            Chunk::StreamHeader { stream, spec } if *stream == id => Some(spec.clone()),
            _ => None,
        });
        let xml = header.as_ref().unwrap().xml.clone();
        assert_eq!(header.unwrap(), StreamSpec { xml, ..spec });
        let read = chunks.iter().find_map(|chunk| match chunk {
            Chunk::Samples(chunk) if chunk.stream == id => Some(chunk),
            _ => None,
        });
        let read = read.unwrap();
        assert_eq!(
            (&read.stamps[..], read.deduced, &read.values),
            (&stamps[..], 0, &values)
        );
        let footer = chunks.iter().find_map(|chunk| match chunk {
            Chunk::StreamFooter { stream, footer } if *stream == id => Some(footer),
            _ => None,
        });
        let footer = footer.unwrap();
        assert_eq!(footer.sample_count, Some(2));
        assert_eq!(
            (footer.first_stamp_s, footer.last_stamp_s),
            (Some(stamps[0]), Some(stamps[1]))
        );
        assert_eq!(footer.measured_rate_hz, Some(1.0 / (stamps[1] - stamps[0])));
    }
}

#[test]
fn blocks_larger_than_a_chunk_are_split_and_read_back_identical() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let id = writer
        .add_stream(&spec("wide", Format::Float32, 64, 1000.0))
        .unwrap();
    let stamps: Vec<f64> = (0..5000).map(|k| f64::from(k) / 1000.0).collect();
    let data: Vec<f32> = (0..5000 * 64).map(|k| k as f32).collect();
    writer.floats(id, &stamps, &data).unwrap();
    let file = writer.finish().unwrap();
    assert!(chunk_starts(&file).len() > 5);
    let recording = Recording::read(Reader::new(&file[..]), &Limits::default()).unwrap();
    assert_eq!(recording.streams[0].raw_stamps, stamps);
    assert_eq!(
        recording.streams[0].samples,
        Samples::Numeric(data.into_iter().map(f64::from).collect())
    );
}

#[test]
fn floats_become_the_format_of_the_header() {
    for (format, expected) in [
        (Format::Int8, [127.0, -3.0, 0.0]),
        (Format::Int16, [32767.0, -3.0, 0.0]),
        (Format::Int64, [1e6, -3.0, 0.0]),
        (Format::Double64, [1e6, -2.75, f64::from(0.1_f32)]),
    ] {
        let mut writer = Writer::new(Vec::new()).unwrap();
        let id = writer.add_stream(&spec("s", format, 3, 0.0)).unwrap();
        writer.floats(id, &[1.0], &[1e6, -2.75, 0.1]).unwrap();
        let file = writer.finish().unwrap();
        let recording = Recording::read(Reader::new(&file[..]), &Limits::default()).unwrap();
        assert_eq!(recording.streams[0].numbers(0), Some(&expected[..]));
    }
}

#[test]
fn clock_offsets_are_dated_on_the_clock_of_the_source() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let id = writer.add_stream(&spec("s", Format::Int8, 1, 0.0)).unwrap();
    let offset = ClockOffset {
        at_s: 1000.0,
        offset_s: -250.0,
    };
    writer.clock_offset(id, offset).unwrap();
    writer.floats(id, &[1250.0], &[1.0]).unwrap();
    let file = writer.finish().unwrap();
    let recording = Recording::read(Reader::new(&file[..]), &Limits::default()).unwrap();
    let measurement = recording.streams[0].clock[0].measurement;
    assert_eq!(
        measurement,
        ClockMeasurement {
            source_s: 1250.0,
            offset_s: -250.0
        }
    );
    assert_eq!(measurement.on_our_clock(), offset);
    assert_eq!(recording.streams[0].stamps, [1000.0]);
}

#[test]
fn values_that_do_not_fit_the_stream_are_refused_and_nothing_is_written() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let id = writer
        .add_stream(&spec("s", Format::Int16, 2, 0.0))
        .unwrap();
    let text = writer
        .add_stream(&spec("t", Format::String, 1, 0.0))
        .unwrap();
    let before = writer.bytes();
    assert!(matches!(
        writer.floats(id, &[1.0], &[1.0]),
        Err(WriteError::Shape { .. })
    ));
    assert!(matches!(
        writer.samples(id, &[1.0], &Values::Int8(vec![1, 2])),
        Err(WriteError::Shape { .. })
    ));
    assert!(matches!(
        writer.texts(id, &[1.0], &["a", "b"]),
        Err(WriteError::Shape { .. })
    ));
    assert!(matches!(
        writer.floats(text, &[1.0], &[1.0]),
        Err(WriteError::Shape { .. })
    ));
    assert!(matches!(
        writer.texts(text, &[1.0], &["x".repeat(1 << 21)]),
        Err(WriteError::Shape { .. })
    ));
    assert!(matches!(
        writer.floats(StreamId(9), &[1.0], &[1.0]),
        Err(WriteError::UnknownStream { .. })
    ));
    let nan = ClockOffset {
        at_s: f64::NAN,
        offset_s: 0.0,
    };
    assert!(matches!(
        writer.clock_offset(id, nan),
        Err(WriteError::Shape { .. })
    ));
    assert!(
        writer
            .add_stream(&StreamSpec {
                labels: Vec::new(),
                ..spec("u", Format::Int8, 1, 0.0)
            })
            .is_err()
    );
    assert_eq!(writer.bytes(), before);
    assert_eq!(writer.failure(), None);
}

#[test]
fn a_file_belongs_to_its_owner_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.xdf");
    let writer = Writer::create(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = Writer::create(&path).unwrap_err();
    assert!(error.to_string().contains("never overwritten"), "{error}");
    drop(writer);
    assert!(Recording::open(&path).unwrap().streams.is_empty());
    assert!(Writer::create(&folder.path().join("no/such/folder.xdf")).is_err());
}

/// Takes so many bytes and no more, like a full disk; remembers each call.
struct Small {
    bytes: Vec<u8>,
    room: usize,
    calls: Vec<usize>,
}

impl Write for Small {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let taken = buffer.len().min(self.room - self.bytes.len());
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.calls.push(taken);
        self.bytes.extend_from_slice(&buffer[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Small {
    fn persist(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.bytes.truncate(length as usize);
        Ok(())
    }
}

impl Medium for &mut Small {
    fn persist(&mut self) -> io::Result<()> {
        (**self).persist()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        (**self).cut(length)
    }
}

#[test]
fn each_chunk_is_one_write_call() {
    let mut medium = Small {
        bytes: Vec::new(),
        room: usize::MAX,
        calls: Vec::new(),
    };
    let mut writer = Writer::new(&mut medium).unwrap();
    let id = writer
        .add_stream(&spec("s", Format::Int16, 2, 0.0))
        .unwrap();
    writer.floats(id, &[1.0, 2.0], &[1.0; 4]).unwrap();
    writer.boundary().unwrap();
    writer.finish().unwrap();
    let starts = chunk_starts(&medium.bytes);
    let mut sizes: Vec<usize> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    sizes[0] += 4;
    assert_eq!(medium.calls, sizes);
}

#[test]
fn a_full_disk_leaves_a_sound_file_and_is_remembered() {
    let header = chunk_starts(&small_file())[2];
    for room in header..header + 200 {
        let mut medium = Small {
            bytes: Vec::new(),
            room,
            calls: Vec::new(),
        };
        let mut writer = Writer::new(&mut medium).unwrap();
        let Ok(id) = writer.add_stream(&spec("amp", Format::Int16, 2, 100.0)) else {
            continue;
        };
        let written = (0..20)
            .take_while(|k| writer.floats(id, &[f64::from(*k)], &[1.0; 2]).is_ok())
            .count();
        assert!(written < 20);
        let failure = writer.failure().expect("the failure is kept").to_owned();
        assert!(
            failure.contains("space") || failure.contains("full"),
            "{failure}"
        );
        for later in [
            writer.boundary(),
            writer.persist(),
            writer.floats(id, &[], &[]),
        ] {
            assert!(matches!(later, Err(WriteError::Failed { .. })));
        }
        assert!(writer.finish().is_err());
        let recording =
            Recording::read(Reader::new(&medium.bytes[..]), &Limits::default()).unwrap();
        assert_eq!(recording.streams[0].len(), written, "room for {room} bytes");
    }
}

#[test]
fn pyxdf_reads_what_we_write_also_when_it_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let mut save = |name: String, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        files.push(path);
    };
    let mut writer = Writer::new(Vec::new()).unwrap();
    for (spec, values) in every_format() {
        let id = writer.add_stream(&spec).unwrap();
        writer
            .samples(id, &[0.1, 653_150.379_117_3], &values)
            .unwrap();
        writer
            .clock_offset(
                id,
                ClockOffset {
                    at_s: 3.0,
                    offset_s: 1.0 / 3.0,
                },
            )
            .unwrap();
        writer.boundary().unwrap();
    }
    save("formats.xdf".into(), &writer.finish().unwrap());
    let small = small_file();
    save("small.xdf".into(), &small);
    // Behind any chunk after the headers, and within the first stamp of any chunk of samples. Elsewhere in half a chunk
    // pyxdf itself stumbles: it fails on half a tag, and takes half a sample for a whole one.
    let starts = chunk_starts(&small);
    for start in &starts[3..] {
        save(format!("cut{start}.xdf"), &small[..*start]);
        if small.get(start + 5) == Some(&3) {
            save(format!("cut{start}half.xdf"), &small[..start + 20]);
        }
    }
    let Some(dump) = ask_pyxdf(&files) else {
        return;
    };
    assert_eq!(dump.files.len(), files.len());
    for (file, expected) in &dump.files {
        assert_agrees(file, &Recording::recover(file.as_ref()).unwrap(), expected);
    }
}
