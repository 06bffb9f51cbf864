//! Truncated, damaged and lying files: refused with the byte that is at fault, or recovered as far as they are sound.

use std::io::{self, Read};

use proptest::prelude::*;
use razvilka::recording::{
    Recording,
    loaded::Remark,
    xdf::{BOUNDARY_UUID, Chunk, Limits, Reader, XdfError},
};

use crate::{
    allocation::peak_of,
    samples::{chunk_starts, small_file},
};

/// What a file of so many bytes may make us hold: some buffers, and for each byte what a decoded value needs.
fn memory_bound(file_bytes: usize) -> usize {
    (1 << 20) + 64 * file_bytes
}

fn strict(file: &[u8]) -> Result<Vec<Chunk>, XdfError> {
    Reader::new(file).with_length(file.len() as u64).collect()
}

fn recovered(file: &[u8]) -> (Vec<Chunk>, Reader<&[u8]>) {
    let mut reader = Reader::new(file).with_length(file.len() as u64).recover();
    let chunks = reader
        .by_ref()
        .map(|chunk| chunk.expect("recover mode leaves faults out"))
        .collect();
    (chunks, reader)
}

/// The file with `change` made to the `number`-th chunk, and where that chunk begins.
fn damaged(number: usize, change: impl FnOnce(&mut Vec<u8>)) -> (usize, Vec<u8>) {
    let file = small_file();
    let starts = chunk_starts(&file);
    let (from, to) = (starts[number], starts[number + 1]);
    let mut chunk = file[from..to].to_vec();
    change(&mut chunk);
    (from, [&file[..from], &chunk, &file[to..]].concat())
}

// Chunks of `small_file`: 0 file header, 1 and 2 stream headers, then samples, marker, offset, samples, marker, offset,
// boundary, and so on.
const HEADER: usize = 1;
const SAMPLES: usize = 3;
const MARKER: usize = 4;
const OFFSET: usize = 5;
/// Where the content after length, tag and stream number stands in a chunk.
const CONTENT: usize = 11;

#[track_caller]
fn assert_refused_at(file: &[u8], offset: usize, word: &str) {
    let error = strict(file).expect_err("the file lies");
    assert_eq!(error.offset(), Some(offset as u64), "{error}");
    assert!(error.to_string().contains(word), "{error}");
    // The same without knowing the length beforehand.
    let unknown: Result<Vec<Chunk>, XdfError> = Reader::new(file).collect();
    assert_eq!(unknown.unwrap_err().offset(), Some(offset as u64));
}

#[test]
fn a_length_that_reaches_past_the_end_is_refused_without_reading_on() {
    for huge in [10_000_u32, u32::MAX] {
        let (at, file) = damaged(SAMPLES, |chunk| {
            chunk[1..5].copy_from_slice(&huge.to_le_bytes());
        });
        assert_refused_at(&file, at, "left");
    }
    let (at, file) = damaged(SAMPLES, |chunk| {
        chunk.splice(..5, [&[8][..], &u64::MAX.to_le_bytes()].concat());
    });
    let (peak, error) = peak_of(|| strict(&file).unwrap_err());
    assert_eq!(error.offset(), Some(at as u64));
    assert!(peak < memory_bound(file.len()), "{peak}");
}

#[test]
fn a_length_that_is_too_short_is_refused() {
    for (length, shift) in [(0_u32, 0), (1, 0), (CONTENT as u32 - 5, CONTENT)] {
        let (at, file) = damaged(SAMPLES, |chunk| {
            chunk[1..5].copy_from_slice(&length.to_le_bytes());
        });
        assert_refused_at(
            &file,
            at + shift,
            if shift == 0 {
                "chunk length"
            } else {
                "number of samples"
            },
        );
    }
}

#[test]
fn a_size_of_a_length_other_than_1_4_8_is_refused() {
    let (at, file) = damaged(SAMPLES, |chunk| chunk[0] = 3);
    assert_refused_at(&file, at, "1, 4 or 8");
}

#[test]
fn an_unknown_tag_is_refused() {
    let (at, file) = damaged(SAMPLES, |chunk| chunk[5] = 7);
    assert_refused_at(&file, at + 5, "tag should be 1 to 6, found 7");
}

#[test]
fn an_unknown_stream_is_refused() {
    for chunk in [SAMPLES, OFFSET] {
        let (at, file) = damaged(chunk, |chunk| chunk[7] = 99);
        assert_refused_at(&file, at + 7, "header came before, found 99");
    }
}

#[test]
fn a_second_header_of_the_same_stream_is_refused() {
    let (at, file) = damaged(HEADER + 1, |chunk| chunk[7] = 1);
    assert_refused_at(&file, at + 7, "no earlier header");
}

#[test]
fn a_sample_count_that_lies_is_refused() {
    let (at, file) = damaged(SAMPLES, |chunk| chunk[CONTENT + 1] = 200);
    assert_refused_at(&file, at + CONTENT, "room for, found 200");
    // Four could be there without stamps; reading finds that three are.
    let (at, file) = damaged(SAMPLES, |chunk| chunk[CONTENT + 1] = 4);
    assert_refused_at(&file, at + CONTENT + 5 + 3 * 13, "a count in it lies");
    let (_, file) = damaged(SAMPLES, |chunk| chunk[CONTENT + 1] = 2);
    assert!(
        strict(&file)
            .unwrap_err()
            .to_string()
            .contains("13 more bytes")
    );
    let (at, file) = damaged(SAMPLES, |chunk| chunk[CONTENT + 1..CONTENT + 5].fill(0xff));
    assert_refused_at(&file, at + CONTENT, "number of samples");
}

#[test]
fn a_stamp_of_an_odd_size_is_refused() {
    let (at, file) = damaged(SAMPLES, |chunk| chunk[CONTENT + 5] = 4);
    assert_refused_at(&file, at + CONTENT + 5, "0 or 8, found 4");
}

#[test]
fn a_string_length_that_lies_is_refused() {
    let text = CONTENT + 5 + 9;
    let (at, file) = damaged(MARKER, |chunk| chunk[text + 1] += 1);
    assert_refused_at(&file, at + text + 5, "a string needs");
    let (at, file) = damaged(MARKER, |chunk| chunk[text + 4] = 1);
    assert_refused_at(&file, at + text, "length of a string is 16777");
}

#[test]
fn text_that_is_not_utf8_is_refused_and_replaced_in_recover_mode() {
    let text = CONTENT + 5 + 9 + 5;
    let (at, file) = damaged(MARKER, |chunk| chunk[text + 2] = 0xff);
    assert_refused_at(&file, at + text + 2, "UTF-8");
    let recording = Recording::read(Reader::new(&file[..]).recover(), &Limits::default()).unwrap();
    assert_eq!(
        recording.streams[1].texts(0).unwrap()[0].chars().next(),
        Some('м')
    );
    assert!(recording.streams[1].texts(0).unwrap()[0].contains('\u{FFFD}'));
}

#[test]
fn a_header_that_is_no_xml_or_lies_is_refused() {
    for (from, to, word) in [
        (&b"<info>"[..], &b"<nofi>"[..], "well formed"),
        (
            b"<nominal_srate>100<",
            b"<nominal_srate>-10<",
            "nominal_srate",
        ),
        (
            b"<nominal_srate>100<",
            b"<nominal_srate>NaN<",
            "nominal_srate",
        ),
        (b"<channel_count>2<", b"<channel_count>0<", "channel_count"),
        (
            b"<channel_format>int16<",
            b"<channel_format>int17<",
            "channel_format",
        ),
    ] {
        let (at, file) = damaged(HEADER, |chunk| {
            let place = chunk
                .windows(from.len())
                .position(|window| window == from)
                .unwrap();
            chunk[place..place + to.len()].copy_from_slice(to);
        });
        assert_refused_at(&file, at + CONTENT, word);
    }
}

#[test]
fn a_clock_offset_that_is_no_number_is_refused() {
    let (at, file) = damaged(OFFSET, |chunk| {
        chunk[CONTENT..CONTENT + 8].copy_from_slice(&f64::NAN.to_le_bytes());
    });
    assert_refused_at(&file, at + CONTENT, "finite");
}

#[test]
fn other_files_are_refused_by_name() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"RIFF....", "'RIFF'"),
        (b"\x1f\x8b\x08\x00....", "gzip"),
        (b"XDF", "'XDF'"),
    ] {
        let error = strict(bytes).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(Reader::new(bytes).recover().next().unwrap().is_err());
    }
    let missing = Recording::open(std::path::Path::new("/nowhere/at/all.xdf")).unwrap_err();
    assert!(
        missing.to_string().contains("/nowhere/at/all.xdf"),
        "{missing}"
    );
}

#[test]
fn limits_are_kept() {
    let file = small_file();
    let with = |limits: Limits| {
        Reader::new(&file[..])
            .with_limits(limits)
            .collect::<Result<Vec<_>, _>>()
    };
    let default = Limits::default();
    assert!(with(default).is_ok());
    for limits in [
        Limits {
            streams_max: 1,
            ..default
        },
        Limits {
            channels_max: 1,
            ..default
        },
        Limits {
            rate_hz_max: 99.0,
            ..default
        },
        Limits {
            header_bytes_max: 64,
            ..default
        },
        Limits {
            footer_bytes_max: 64,
            ..default
        },
        Limits {
            string_bytes_max: 4,
            ..default
        },
        Limits {
            chunk_bytes_max: 20,
            ..default
        },
    ] {
        assert!(with(limits).is_err(), "{limits:?}");
    }
    let small = Limits {
        memory_bytes_max: 100,
        ..default
    };
    let error = Recording::read(Reader::new(&file[..]), &small).unwrap_err();
    assert!(error.to_string().contains("in memory"), "{error}");
}

#[test]
fn a_file_cut_at_any_byte_gives_every_whole_chunk() {
    let file = small_file();
    let starts = chunk_starts(&file);
    let whole = strict(&file).unwrap();
    assert_eq!(starts.last(), Some(&file.len()));
    for cut in 4..file.len() {
        let chunks_before = starts.iter().filter(|start| **start <= cut).count() - 1;
        let last = starts[chunks_before];
        let (chunks, reader) = recovered(&file[..cut]);
        assert_eq!(chunks, whole[..chunks_before], "cut at {cut}");
        match strict(&file[..cut]) {
            Ok(_) => assert!(last == cut && reader.damage().is_empty(), "cut at {cut}"),
            Err(error) => {
                assert_eq!(error.offset(), Some(last as u64), "cut at {cut}: {error}");
                let damage = reader.damage();
                assert_eq!(
                    (damage[0].offset, damage[0].resumed_at),
                    (last as u64, None),
                    "cut at {cut}"
                );
            }
        }
    }
}

#[test]
fn a_chunk_with_bad_content_costs_only_itself() {
    let (at, file) = damaged(SAMPLES, |chunk| chunk[CONTENT + 5] = 4);
    let (chunks, reader) = recovered(&file);
    let mut expected = strict(&small_file()).unwrap();
    expected.remove(SAMPLES);
    assert_eq!(chunks, expected);
    let damage = &reader.damage()[0];
    assert_eq!(damage.offset, at as u64);
    assert_eq!(
        damage.resumed_at,
        Some(chunk_starts(&file)[SAMPLES + 1] as u64)
    );
}

#[test]
fn after_a_broken_frame_reading_goes_on_behind_the_next_boundary() {
    let (at, file) = damaged(SAMPLES + 3, |chunk| chunk[0] = 77);
    let (chunks, reader) = recovered(&file);
    let boundary = file
        .windows(16)
        .position(|window| window == BOUNDARY_UUID)
        .unwrap();
    let damage = &reader.damage()[0];
    assert_eq!(
        (damage.offset, damage.resumed_at),
        (at as u64, Some(boundary as u64 + 16))
    );
    let whole = strict(&small_file()).unwrap();
    let boundary_number = whole
        .iter()
        .position(|chunk| *chunk == Chunk::Boundary)
        .unwrap();
    assert_eq!(
        chunks,
        [&whole[..SAMPLES + 3], &whole[boundary_number + 1..]].concat()
    );
}

#[test]
fn samples_without_a_stamp_are_not_dated_across_damage() {
    // One int8 channel at 10 Hz: a dated sample, a damaged chunk, then an undated, a dated and a deduced sample.
    let xml = b"<info><channel_count>1</channel_count><nominal_srate>10</nominal_srate>\
                <channel_format>int8</channel_format></info>";
    let chunk = |tag: u8, content: &[u8]| {
        let mut chunk = vec![4];
        chunk.extend_from_slice(&(content.len() as u32 + 6).to_le_bytes());
        chunk.extend_from_slice(&[tag, 0, 1, 0, 0, 0]);
        chunk.extend_from_slice(content);
        chunk
    };
    let dated = |stamp: f64, value: u8| [&[8][..], &stamp.to_le_bytes(), &[value]].concat();
    let samples =
        |rows: &[Vec<u8>]| chunk(3, &[&[1, rows.len() as u8][..], &rows.concat()].concat());
    let first = samples(&[dated(5.0, 1)]);
    let second = samples(&[vec![0, 2], dated(6.0, 3), vec![0, 4]]);
    let bad = chunk(3, &[1, 200]);
    let file = [&b"XDF:"[..], &chunk(2, xml), &first, &bad, &second].concat();
    let recording = Recording::read(Reader::new(&file[..]).recover(), &Limits::default()).unwrap();
    assert_eq!(recording.streams[0].raw_stamps, [5.0, 6.0, 6.1]);
    assert_eq!(recording.streams[0].numbers(1), Some(&[3.0][..]));
    assert!(recording.remarks.contains(&Remark::Undated { samples: 1 }));
    let sound = [&b"XDF:"[..], &chunk(2, xml), &first, &second].concat();
    let recording = Recording::read(Reader::new(&sound[..]).recover(), &Limits::default()).unwrap();
    assert_eq!(recording.streams[0].raw_stamps, [5.0, 5.1, 6.0, 6.1]);
}

/// Gives a few bytes at a time, and now and then asks to be tried again.
struct Dribble<'a> {
    bytes: &'a [u8],
    turn: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = (self.turn % 7 + 1).min(buffer.len()).min(self.bytes.len());
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

#[test]
fn how_the_input_arrives_does_not_matter() {
    let file = small_file();
    let dribbled: Result<Vec<Chunk>, XdfError> = Reader::new(Dribble {
        bytes: &file,
        turn: 0,
    })
    .collect();
    assert_eq!(dribbled.unwrap(), strict(&file).unwrap());
}

#[test]
fn a_failing_disk_is_told_apart_from_a_bad_file() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is on fire"))
        }
    }
    let start = &small_file()[..100];
    let error = Reader::new(start.chain(Failing))
        .recover()
        .find_map(Result::err)
        .unwrap();
    assert!(
        matches!(error, XdfError::Io { .. }) && error.to_string().contains("on fire"),
        "{error}"
    );
}

/// Reads in both modes and checks what must hold for any bytes at all.
fn check_any(file: &[u8]) -> Result<(), TestCaseError> {
    let (peak, _) = peak_of(|| strict(file).map(|chunks| chunks.len()));
    prop_assert!(
        peak <= memory_bound(file.len()),
        "strict reading held {peak} bytes"
    );
    let (peak, recording) =
        peak_of(|| Recording::read(Reader::new(file).recover(), &Limits::default()));
    prop_assert!(
        peak <= memory_bound(file.len()),
        "recovering held {peak} bytes"
    );
    if !file.starts_with(b"XDF:") {
        prop_assert!(recording.is_err());
        return Ok(());
    }
    let recording = recording.map_err(|error| TestCaseError::fail(error.to_string()))?;
    let mut last = 0;
    for damage in &recording.damage {
        prop_assert!(
            damage.offset >= last && damage.resumed_at.is_none_or(|at| at > damage.offset)
        );
        prop_assert!(damage.offset <= file.len() as u64);
        last = damage.resumed_at.unwrap_or(u64::MAX);
    }
    for stream in &recording.streams {
        prop_assert_eq!(stream.stamps.len(), stream.len());
        if let Some(last) = stream.len().checked_sub(1) {
            prop_assert!(stream.numbers(last).is_some() || stream.texts(last).is_some());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic_or_exhaust_memory(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        if magic {
            bytes.splice(..0, *b"XDF:");
        }
        check_any(&bytes)?;
    }

    #[test]
    fn mutated_files_never_panic_or_exhaust_memory(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut file = small_file();
        for (at, value, kind) in changes {
            let at = 4 + at.index(file.len() - 4);
            match kind {
                0 => file[at] = value,
                1 => file[at] ^= 1 << (value % 8),
                2 => file.insert(at, value),
                _ => drop(file.drain(at..(at + usize::from(value)).min(file.len()))),
            }
            if file.len() < 5 {
                break;
            }
        }
        if shorten {
            file.truncate(4 + cut.index(file.len() - 3));
        }
        check_any(&file)?;
    }

    #[test]
    fn a_chunk_of_arbitrary_content_costs_nothing_around_it(tag in 1..7_u8, content in proptest::collection::vec(any::<u8>(), 0..60)) {
        let file = small_file();
        let starts = chunk_starts(&file);
        let mut odd = vec![4];
        odd.extend_from_slice(&(content.len() as u32 + 2).to_le_bytes());
        odd.extend_from_slice(&[tag, 0]);
        odd.extend_from_slice(&content);
        let at = starts[SAMPLES];
        let (chunks, _) = recovered(&[&file[..at], &odd, &file[at..]].concat());
        let whole = strict(&file).unwrap();
        // The odd chunk may by chance be a sound one, but what was there before is still there.
        prop_assert!(chunks.len() == whole.len() || chunks.len() == whole.len() + 1);
        prop_assert_eq!(&chunks[..SAMPLES], &whole[..SAMPLES]);
        prop_assert_eq!(&chunks[chunks.len() - (whole.len() - SAMPLES)..], &whole[SAMPLES..]);
    }
}
