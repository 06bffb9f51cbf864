"""How fast, and how well, eye movements are found: razvilka beside pymovements and REMoDNaV, in one run.

usage: python3 benches/peers/gaze.py RECORDINGS [--razvilka target/release/razvilka] [--judge gaze_score.py] [--venv target/gaze-peers]
                                     [--repeat 3]

RECORDINGS holds tables t_ms,x_deg,y_deg,valid[,label]. The script makes a virtual environment, installs the two (pymovements: Krakowczyk et
al. 2023; REMoDNaV: Dar, Wagner & Hanke 2021) and runs itself again in it.

What is measured, samples per second of processor time, one thread each, the best of --repeat runs over all recordings:

- razvilka: the whole command `score gaze`, from the start of the process over reading the table and labelling sample by sample with at most
  10 ms of look-ahead to writing a line per sample. Its time therefore holds what the others are spared. --detector trained and velocity.
- pymovements: velocities (pos2vel) and detection on arrays in memory, whole recordings at once: I-VT, I-DT, microsaccades (Engbert), each
  with its defaults.
- REMoDNaV: its preprocessing and its classifier on arrays in memory, with its defaults, without its log. Its smoothing cannot begin or end
  within lost data, so losses at either end of a recording are cut off for it.

With --judge, and labelled tables, the labels of each are scored by that program. The others see the whole recording before they say
anything; what they found is written as if it had been known at once.
"""
import argparse
import glob
import os
import resource
import subprocess
import sys
import tempfile
import time

PACKAGES = ["pymovements==0.28.0", "remodnav==1.1.2"]
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings")
    parser.add_argument("--razvilka", default="target/release/razvilka")
    parser.add_argument("--judge")
    parser.add_argument("--venv", default="target/gaze-peers")
    parser.add_argument("--repeat", type=int, default=3)
    return parser.parse_args()


def in_the_environment(venv):
    """Runs this script again with the Python of `venv`, which is made where it is not there."""
    python = os.path.join(venv, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(venv):
        return
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
    os.execve(python, [python, *sys.argv], {**os.environ, **ONE_THREAD})


def read(path):
    import numpy as np

    table = np.genfromtxt(path, delimiter=",", skip_header=1)
    place = table[:, 1:3].copy()
    place[table[:, 3] != 1] = np.nan
    return table[:, 0], place


def rate_of(t_ms):
    import numpy as np

    return 1000.0 / np.median(np.diff(t_ms))


def razvilka(binary, detector, paths, out):
    """Labels every table; gives the processor time of the commands."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for path in paths:
        with open(os.path.join(out, os.path.basename(path)), "w") as table:
            command = [binary, "score", "gaze", "--detector", detector, "--csv", path]
            subprocess.run(command, stdout=table, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def movements(recordings, methods, out):
    """pymovements: each of `methods` on every recording; gives the processor time of velocities and detection."""
    import numpy as np
    import pymovements as pm

    spent = 0.0
    for name, (t_ms, place) in recordings.items():
        # Its stamps are whole numbers; milliseconds are only rounded where the rate asks for it.
        stamps = np.round(t_ms).astype(int)
        gaze = pm.gaze.from_numpy(
            time=stamps, position=place.T, experiment=pm.gaze.Experiment(sampling_rate=rate_of(t_ms)), time_unit="ms"
        )
        begun = time.process_time()
        if methods != ["idt"]:
            gaze.pos2vel("fivepoint")
        for method in methods:
            gaze.detect(method)
        spent += time.process_time() - begun
        labels = np.zeros(len(t_ms), int)
        events = gaze.events.frame
        for kind, code in (("fixation", 1), ("saccade", 2)):
            for onset, offset in events.filter(events["name"] == kind).select("onset", "offset").iter_rows():
                labels[(stamps >= onset) & (stamps <= offset)] = code
        write(out, name, t_ms, labels)
    return spent


def remodnav(recordings, out):
    """REMoDNaV on every recording; gives the processor time of preprocessing and classification."""
    import logging

    import numpy as np
    from remodnav import EyegazeClassifier

    logging.disable(logging.CRITICAL)
    codes = {"FIXA": 1, "SACC": 2, "ISAC": 2, "PURS": 4, "HPSO": 3, "IHPS": 3, "LPSO": 3, "ILPS": 3}
    spent = 0.0
    for name, (t_ms, place) in recordings.items():
        first, last = whole_ends(np.isfinite(place).all(axis=1))
        data = np.rec.fromarrays([place[first:last, 0].copy(), place[first:last, 1].copy()], names="x,y")
        # Positions are degrees already.
        classifier = EyegazeClassifier(px2deg=1.0, sampling_rate=rate_of(t_ms))
        begun = time.process_time()
        events = classifier(classifier.preproc(data))
        spent += time.process_time() - begun
        labels = np.zeros(len(t_ms), int)
        at_s = (t_ms - t_ms[first]) / 1000.0
        for event in sorted(events, key=lambda event: event["label"] == "FIXA", reverse=True):
            labels[(at_s >= event["start_time"]) & (at_s < event["end_time"])] = codes[event["label"]]
        write(out, name, t_ms, labels)
    return spent


def whole_ends(seen, window=19):
    """The longest stretch whose first and last `window` samples are all there: REMoDNaV's smoothing is 19 ms long."""
    first, last = 0, len(seen)
    while last - first > window and not seen[first:first + window].all():
        first += 1
    while last - first > window and not seen[last - window:last].all():
        last -= 1
    return first, last


def write(out, name, t_ms, labels):
    with open(os.path.join(out, name), "w") as table:
        table.write("t_ms,emit_ms,label,new_fixation\n")
        table.writelines(f"{t},{t},{label},0\n" for t, label in zip(t_ms, labels))


def main():
    args = arguments()
    in_the_environment(args.venv)
    import warnings

    import numpy
    import pymovements
    from importlib.metadata import version

    warnings.filterwarnings("ignore")
    paths = sorted(glob.glob(os.path.join(args.recordings, "*.csv")))
    if not paths:
        sys.exit(f"{args.recordings} holds no tables")
    recordings = {os.path.basename(path): read(path) for path in paths}
    samples = sum(len(t_ms) for t_ms, _ in recordings.values())
    sides = {
        "razvilka, trained": lambda out: razvilka(args.razvilka, "trained", paths, out),
        "razvilka, velocity threshold": lambda out: razvilka(args.razvilka, "velocity", paths, out),
        "pymovements, I-VT": lambda out: movements(recordings, ["ivt"], out),
        "pymovements, I-DT": lambda out: movements(recordings, ["idt"], out),
        "pymovements, microsaccades": lambda out: movements(recordings, ["microsaccades"], out),
        "pymovements, I-VT + microsaccades": lambda out: movements(recordings, ["ivt", "microsaccades"], out),
        "REMoDNaV": lambda out: remodnav(recordings, out),
    }
    print(f"{len(paths)} recordings, {samples} samples of {args.recordings}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors;")
    print(f"Python {sys.version.split()[0]}, numpy {numpy.__version__}, pymovements {pymovements.__version__}, REMoDNaV {version('remodnav')}")
    speeds, scores = {}, {}
    for name, side in sides.items():
        with tempfile.TemporaryDirectory() as out:
            speeds[name] = samples / min(side(out) for _ in range(args.repeat))
            if args.judge:
                scores[name] = subprocess.run([sys.executable, args.judge, args.recordings, out], capture_output=True, text=True)
    ours = [name for name in speeds if name.startswith("razvilka")]
    print(f"\n{'':36}{'samples/s':>12}" + "".join(f"  {name + ' is':>32}" for name in ours))
    for name, speed in speeds.items():
        ratios = "".join(f"  {f'{speeds[one] / speed:.1f} times as fast':>32}" for one in ours)
        print(f"{name:36}{speed:12.0f}{ratios}")
    for name, score in scores.items():
        print(f"\n{name}\n{score.stdout or score.stderr}")


if __name__ == "__main__":
    main()
