#!/usr/bin/env python3
"""What others need for the same: SciPy, the numeric part of MNE-LSL's acquisition, NumPy, scikit-learn, pyRiemann, beside ours.

    pip install numpy scipy scikit-learn pyriemann
    python dsp/benches/peers.py [--rounds 3] [--quick] [--out rows.jsonl]

Runs `cargo bench -p razvilka-dsp --bench eeg_speed -- --json` and the peers in turns, `--rounds` times, on one thread each, and
prints one Markdown table: median of all repetitions of all rounds, and ours / theirs. A peer's repetition is one call; its
time is wall clock, like ours. What differs:

- The floor, in a table of its own, is a vectorised loop for this very number of channels, compiled (`eeg_speed/floor.rs`).
- SciPy's row is the same work as ours (5 biquads with state, common average); ours has one copy of the chunk in it.
- The MNE-LSL row is what StreamLSL's acquisition computes per chunk, written down by us (reference, two filters with state, ring
  buffer by np.roll): no LSL, no locks. Ours is the whole path, which guards stamps, watches channels and fills epochs as well.
- Ours for one epoch is last sample > score through the whole path, filters included; theirs begins with a ready epoch in memory.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse
import gc
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.signal import butter, iirnotch, sosfilt, sosfilt_zi, tf2sos

ROOT = Path(__file__).resolve().parents[2]
CHANNELS = 64
RATE_HZ = 1000


def repeated(work, n):
    """Microseconds of each of n calls."""
    for _ in range(max(20, n // 20)):
        work()
    gc.disable()
    clock, times_us = time.perf_counter_ns, np.empty(n)
    for i in range(n):
        start = clock()
        work()
        times_us[i] = clock() - start
    gc.enable()
    return times_us / 1e3


def ours(quick):
    rows = []
    for table in ("filter", "score", "blocks"):
        command = ["cargo", "bench", "-q", "-p", "razvilka-dsp", "--bench", "eeg_speed", "--"]
        command += ["--json", "--only", table] + (["--quick"] if quick else [])
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        rows += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = {}
    for row in rows:
        if row["table"] == "filter" and row["channels"] == CHANNELS:
            # The bench gives medians per sample.
            for key in ("ours", "floor"):
                us = row[f"{key}_p50_ns"] * row["chunk"] / 1e3
                found["filter" if key == "ours" else key, row["chunk"]] = (us, row["bursts"])
        if row["table"] == "blocks":
            found["path", row["block"]] = (row["p50_us"], row["blocks"])
        wanted = row["table"] == "score" and row["channels"] == CHANNELS
        if wanted and row["caches"] == "warm" and row["rate_hz"] == 512:
            found["score", row["scorer"]] = (row["p50_us"], row["epochs"])
    return found


def filters(rng):
    """(name, which of ours, work) of the peers that filter."""
    band = butter(4, [0.5, 20], "bandpass", fs=RATE_HZ, output="sos")
    notch = tf2sos(*iirnotch(50, 30, RATE_HZ))
    both = np.vstack([band, notch])

    def at_rest(sos, x):
        return np.repeat(sosfilt_zi(sos)[:, :, None], CHANNELS, 2) * x[0]

    for chunk in (1, 8, 32):
        x = rng.standard_normal((chunk, CHANNELS))

        def scipy_car(x=x, state=[at_rest(both, x)]):
            y, state[0] = sosfilt(both, x, axis=0, zi=state[0])
            y -= y.mean(1, keepdims=True)
            return y

        yield f"SciPy sosfilt + CAR, chunk {chunk}", ("filter", chunk), scipy_car

        buffer = [np.zeros((2 * RATE_HZ, CHANNELS)), np.zeros(2 * RATE_HZ)]

        def acquire(x=x, chunk=chunk, picks=np.arange(CHANNELS), stamps=np.zeros(chunk), buffer=buffer,
                    a=[at_rest(band, x)], b=[at_rest(notch, x)]):
            data = x.copy()
            data -= data[:, picks].mean(1, keepdims=True)
            data[:, picks], a[0] = sosfilt(band, data[:, picks], zi=a[0], axis=0)
            data[:, picks], b[0] = sosfilt(notch, data[:, picks], zi=b[0], axis=0)
            buffer[0] = np.roll(buffer[0], -chunk, axis=0)
            buffer[1] = np.roll(buffer[1], -chunk)
            buffer[0][-chunk:] = data
            buffer[1][-chunk:] = stamps

        yield f"MNE-LSL's acquisition, numeric part, chunk {chunk}", ("path", chunk), acquire


def scorers(rng):
    """(name, which of ours, work) of the peers that score one epoch."""
    from pyriemann.estimation import XdawnCovariances
    from pyriemann.tangentspace import TangentSpace
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    rate_hz, n, factor = 512, 600, 16
    samples = int(0.8 * rate_hz) // factor * factor
    x = rng.standard_normal((n, CHANNELS, samples))
    y = (np.arange(n) % 6 == 0).astype(int)
    x[y == 1, :, 150:250] += 0.2

    def features(epochs):
        return epochs.reshape(len(epochs), CHANNELS, -1, factor).mean(3).reshape(len(epochs), -1)

    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features(x), y)
    weights, bias = lda.coef_[0].copy(), float(lda.intercept_[0])
    epoch, ready = x[:1], features(x[:1])
    yield "NumPy dot, features ready", ("score", "LDA"), lambda: ready @ weights + bias
    yield "NumPy block means + dot", ("score", "LDA"), lambda: features(epoch) @ weights + bias
    yield "scikit-learn LDA.decision_function, features ready", ("score", "LDA"), lambda: lda.decision_function(ready)

    # 64 Hz, as an epoch is usually given to it.
    slow = x.reshape(n, CHANNELS, -1, 8).mean(3)
    pipeline = make_pipeline(
        XdawnCovariances(nfilter=4, estimator="lwf"), TangentSpace(), LogisticRegression(max_iter=1000)
    ).fit(slow, y)
    one = slow[:1]
    yield "pyRiemann XdawnCovariances(4) + TangentSpace + LR", ("score", "LDA + tangent space"), lambda: pipeline.decision_function(one)


def versions():
    import pyriemann
    import scipy
    import sklearn

    return (
        f"Python {sys.version.split()[0]}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"scikit-learn {sklearn.__version__}, pyRiemann {pyriemann.__version__}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often ours and theirs take turns")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--out", type=Path, help="also write the rows as JSON lines")
    args = parser.parse_args()
    n = 300 if args.quick else 2000
    rng = np.random.default_rng(0)
    peers = list(filters(rng)) + list(scorers(rng))
    theirs, mine = defaultdict(list), defaultdict(list)
    load = [os.getloadavg()[0]]
    for _ in range(args.rounds):
        for key, found in ours(args.quick).items():
            mine[key].append(found)
        for name, _, work in peers:
            theirs[name].append(repeated(work, n))
        load.append(os.getloadavg()[0])
    print(f"{CHANNELS} channels, {args.rounds} rounds in turns; {versions()}; load average {load[0]:.1f} to {max(load):.1f}\n")
    print("| peer | theirs p50 us | theirs p99 us | n | ours | ours p50 us | n | ours / theirs |")
    print("|:--|--:|--:|--:|:--|--:|--:|--:|")
    out = []
    for name, key, _ in peers:
        times_us = np.concatenate(theirs[name])
        p50, p99 = np.percentile(times_us, [50, 99])
        label = {"filter": "filter + CAR, chunk {}", "path": "whole path, block of {}", "score": "last sample > score, {}"}
        row = {"peer": name, "theirs_p50_us": p50, "theirs_p99_us": p99, "theirs_n": len(times_us)}
        row["ours"] = label[key[0]].format(key[1])
        if key in mine:
            row["ours_p50_us"] = float(np.median([p for p, _ in mine[key]]))
            row["ours_n"] = sum(n for _, n in mine[key])
            row["ratio"] = row["ours_p50_us"] / p50
            right = f"{row['ours_p50_us']:.2f} | {row['ours_n']} | {row['ratio']:.4f}"
        else:
            right = "not measured | 0 | "
        print(f"| {name} | {p50:.2f} | {p99:.2f} | {len(times_us)} | {row['ours']} | {right} |")
        out.append(row)
    print("\n| filter + CAR | floor p50 us | ours p50 us | ours / floor | ours, ns per sample |")
    print("|:--|--:|--:|--:|--:|")
    for chunk in (1, 8, 32):
        floor, us = (float(np.median([p for p, _ in mine[key, chunk]])) for key in ("floor", "filter"))
        print(f"| chunk {chunk} | {floor:.3f} | {us:.3f} | {us / floor:.2f} | {us * 1e3 / chunk:.1f} |")
        out.append({"floor": "vectorised loop", "chunk": chunk, "floor_p50_us": floor, "ours_p50_us": us})
    if args.out:
        args.out.write_text("".join(json.dumps(row) + "\n" for row in out))


if __name__ == "__main__":
    main()
