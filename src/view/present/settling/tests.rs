//! A display made up here, whose presentation times are known by construction, against what is made of its notices.

use proptest::prelude::*;

use super::*;

const REFRESH_NS: u64 = 16_666_667;
/// First serial that the driver gives: not ours.
const SERIAL: u32 = u32::MAX - 3;

fn at(ns: u64) -> MonoTime {
    MonoTime::from_nanos(1_000_000_000_000 + ns)
}

/// What the driver does with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Presents it with the first refresh after everything before it, `late` refreshes later than it could.
    Shown { late: u64 },
    /// Never shows it.
    Skipped,
    /// Shows it, and its notice is lost.
    Unheard,
    /// Shows it, and stamps it before it was handed over.
    Untrue,
}

/// Runs frames through a display with two buffers, and some more that are shown in time; gives what was reported of the first ones, when
/// each was seen, and the tally.
/// `pause_ns` comes before each frame.
fn played(fates: &[Fate], pauses: &[u64]) -> (Vec<Presented>, Vec<Option<MonoTime>>, Stamps) {
    let mut settling = Settling::default();
    let mut reports = Vec::new();
    let mut truth = Vec::new();
    let (mut now, mut taken_until, mut serial) = (10_000_000, 0, SERIAL);
    let mut under_way: VecDeque<(u64, Option<Notice>)> = VecDeque::new();
    let mut before: Option<Frame> = None;
    let ends = [(Fate::Shown { late: 0 }, 0); 40];
    let frames: Vec<_> = fates.iter().copied().zip(pauses.iter().copied()).collect();
    for (number, (fate, pause_ns)) in (0..).zip(frames.iter().copied().chain(ends)) {
        let waits_ns = if settling.is_pairing() {
            3 * REFRESH_NS
        } else {
            0
        };
        let pause_ns = pause_ns + waits_ns;
        now += pause_ns;
        // Two buffers: the one before the last must have been presented.
        if let Some((presented, _)) = under_way.iter().rev().nth(1) {
            now = now.max(*presented);
        }
        if let Some(frame) = before.take() {
            let what = What::Flash(number - 1);
            let of = Frame {
                returned: at(now),
                ..frame
            };
            settling.handed_over(of, [what]);
        }
        while let Some((_, notice)) = under_way.pop_front_if(|(read, _)| *read <= now) {
            if let Some(notice) = notice {
                settling.notice(notice, at(now));
            }
        }
        reports.extend(settling.settled(at(now)));
        settling.begin(at(now));
        now += 2_000_000;
        before = Some(Frame {
            called: at(now),
            returned: at(now),
            timed: pause_ns == 0,
        });
        let late = if let Fate::Shown { late } = fate {
            late
        } else {
            0
        };
        let refresh = (now / REFRESH_NS + 1).max(taken_until + 1) + late;
        let presented = refresh * REFRESH_NS;
        taken_until = refresh;
        let notice = |way, ns| Notice {
            serial,
            at: at(ns),
            refresh,
            way,
        };
        let notice = match fate {
            Fate::Shown { .. } => Some(notice(Way::Flipped, presented)),
            Fate::Skipped => Some(notice(Way::Skipped, presented)),
            Fate::Unheard => None,
            Fate::Untrue => Some(notice(Way::Flipped, now - 3_000_000)),
        };
        truth.push((fate != Fate::Skipped).then_some(at(presented)));
        under_way.push_back((presented + 50_000, notice));
        serial = serial.wrapping_add(1);
    }
    reports.retain(|report| matches!(report.what, What::Flash(n) if n < fates.len() as u64));
    (reports, truth, settling.stamps())
}

fn number(report: &Presented) -> usize {
    let What::Flash(number) = report.what else {
        panic!("{report:?}");
    };
    number as usize
}

#[test]
fn every_frame_gets_the_time_at_which_it_was_presented() {
    let shown = Fate::Shown { late: 0 };
    let (reports, truth, stamps) = played(&[shown; 30], &[0; 30]);
    assert_eq!(reports.len(), 30);
    for (index, report) in reports.iter().enumerate() {
        assert_eq!(number(report), index, "in the order of frames");
        assert_eq!(report.quality, StampQuality::PresentFlip);
        assert_eq!(Some(report.at), truth[index], "{index}");
    }
    assert_eq!((stamps.missed, stamps.after_swap), (Some(0), 0));
}

#[test]
fn refreshes_that_pass_without_a_frame_are_counted() {
    let mut fates = [Fate::Shown { late: 0 }; 30];
    fates[7] = Fate::Shown { late: 1 };
    fates[19] = Fate::Shown { late: 3 };
    let (.., stamps) = played(&fates, &[0; 30]);
    assert_eq!(stamps.missed, Some(4));
    let mut pauses = [0; 30];
    pauses[12] = 5 * REFRESH_NS;
    let (.., stamps) = played(&[Fate::Shown { late: 0 }; 30], &pauses);
    assert_eq!(stamps.missed, Some(0), "a pause on purpose misses nothing");
}

#[test]
fn what_was_on_a_frame_that_was_never_seen_began_with_the_next_one() {
    let mut fates = [Fate::Shown { late: 0 }; 12];
    fates[5] = Fate::Skipped;
    fates[6] = Fate::Skipped;
    let (reports, truth, _) = played(&fates, &[0; 12]);
    assert_eq!(reports.len(), 12);
    for of in [5, 6, 7] {
        assert_eq!(number(&reports[of]), of);
        assert_eq!(Some(reports[of].at), truth[7]);
    }
}

#[test]
fn a_lost_notice_costs_true_stamps_until_the_window_was_still_and_is_never_guessed() {
    let mut fates = [Fate::Shown { late: 0 }; 80];
    fates[10] = Fate::Unheard;
    let mut pauses = [0; 80];
    pauses[60] = 2 * STILL_NS;
    let (reports, truth, stamps) = played(&fates, &pauses);
    assert_eq!((reports.len(), stamps.lost), (80, 1));
    for report in &reports {
        let number = number(report);
        match report.quality {
            StampQuality::PresentFlip => assert_eq!(Some(report.at), truth[number]),
            quality => assert_eq!(quality, StampQuality::AfterSwap, "{number}"),
        }
    }
    let own = |range: std::ops::Range<usize>| {
        let mut of = reports[range].iter();
        of.all(|report| report.quality == StampQuality::PresentFlip)
    };
    assert!(own(0..10) && own(60..80), "{reports:?}");
    assert_eq!(reports[10].quality, StampQuality::AfterSwap);
}

#[test]
fn a_driver_that_says_nothing_delays_no_stamp_but_the_first() {
    let mut settling = Settling::default();
    let mut waited = 0;
    for number in 0..100 {
        // From the 50th on it is slow as well: no frame is waited for again.
        let now = at(number * REFRESH_NS + number.saturating_sub(50) * STILL_NS);
        settling.begin(now);
        let frame = Frame {
            called: now,
            returned: MonoTime::from_nanos(now.as_nanos() + REFRESH_NS),
            timed: true,
        };
        settling.handed_over(frame, [What::Flash(number)]);
        let settled = settling.settled(frame.returned);
        waited += u64::from(settled.is_empty());
        for report in settled {
            assert_eq!(report.quality, StampQuality::AfterSwap);
        }
    }
    assert!(waited <= 3 * (1 + NOTICE_NS_MAX / REFRESH_NS), "{waited}");
    assert_eq!(
        settling.stamps().lost,
        0,
        "what was never promised is not lost"
    );
    assert!(!settling.is_waiting() && !settling.wants_stillness());
    assert_eq!(
        (settling.stamps().after_swap, settling.stamps().missed),
        (100, None)
    );
}

#[test]
fn a_frame_that_was_drawn_without_us_gives_up_the_pair_and_stillness_finds_it_again() {
    let mut settling = Settling::default();
    let presented = |settling: &mut Settling, ms: u64, serial, still: bool| {
        if still {
            settling.begin(at(ms * 1_000_000));
        }
        let frame = Frame {
            called: at(ms * 1_000_000),
            returned: at((ms + 1) * 1_000_000),
            timed: false,
        };
        settling.handed_over(frame, [What::Flash(ms)]);
        let notice = Notice {
            serial,
            at: at((ms + 5) * 1_000_000),
            refresh: ms,
            way: Way::Copied,
        };
        settling.notice(notice, at((ms + 6) * 1_000_000));
        let settled = settling.settled(at((ms + 6) * 1_000_000));
        settled
            .iter()
            .map(|report| report.quality)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        presented(&mut settling, 0, 9, true),
        [StampQuality::PresentCopy]
    );
    assert_eq!(
        presented(&mut settling, 20, 10, false),
        [StampQuality::PresentCopy]
    );
    // The toolkit drew one frame by itself: number 11.
    assert_eq!(
        presented(&mut settling, 40, 12, false),
        [StampQuality::AfterSwap]
    );
    assert!(settling.wants_stillness());
    assert_eq!(
        presented(&mut settling, 60, 13, false),
        [StampQuality::AfterSwap]
    );
    assert_eq!(
        presented(&mut settling, 300, 14, true),
        [StampQuality::PresentCopy]
    );
}

#[test]
fn notices_that_cannot_be_true_are_not_believed() {
    let mut fates = [Fate::Shown { late: 0 }; 40];
    fates[4] = Fate::Untrue;
    let (reports, truth, stamps) = played(&fates, &[0; 40]);
    assert_eq!((stamps.untrue, stamps.after_swap), (1, 1));
    assert_eq!(reports[4].quality, StampQuality::AfterSwap);
    assert_eq!(Some(reports[5].at), truth[5], "one of them moves nothing");
    let (reports, ..) = played(&[Fate::Untrue; 40], &[0; 40]);
    assert!(
        reports
            .iter()
            .all(|report| report.quality == StampQuality::AfterSwap)
    );
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Shown { late: 0 }),
        2 => (1_u64..4).prop_map(|late| Fate::Shown { late }),
        1 => Just(Fate::Skipped),
        1 => Just(Fate::Unheard),
        1 => Just(Fate::Untrue),
    ]
}

proptest! {
    #[test]
    fn a_stamp_that_is_called_the_displays_own_is_true_whatever_happens(
        fates in prop::collection::vec(fate(), 1..120),
        pauses in prop::collection::vec(prop_oneof![9 => Just(0), 2 => 0..2 * STILL_NS], 120),
    ) {
        let (reports, truth, _) = played(&fates, &pauses);
        prop_assert_eq!(reports.len(), fates.len(), "each once, whatever it is worth");
        for (index, report) in reports.iter().enumerate() {
            prop_assert_eq!(number(report), index);
            if report.quality == StampQuality::PresentFlip {
                let seen = truth[index..].iter().flatten().next();
                prop_assert_eq!(Some(&report.at), seen, "{}", index);
            }
        }
    }
}
