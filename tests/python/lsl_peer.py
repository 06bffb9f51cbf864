"""The other side of tests/lsl_interop.rs: LSL through pylsl (liblsl).

    lsl_peer.py send NAME       publishes NAME (EEG) and NAME-markers, says "ready", waits for a line on stdin, sends,
                                and stays until stdin ends
    lsl_peer.py receive NAME    opens NAME and NAME-markers, says "ready", receives, and prints what came as JSON

LSLAPICFG must name the configuration of the test before this starts.
"""

import json
import sys

import numpy as np
import pylsl

LABELS = ["Fz", "Cz", "Pz", "Oz", "P3", "P4", "PO7", "PO8"]
RATE_HZ = 500.0
SAMPLES = 1500
MARKERS = ["начало", "развилка: «дальше»", '{"seq":2}', "\U0001F9E0", "x" * 5000]
PATIENCE_S = 30.0


def send(name):
    info = pylsl.StreamInfo(name, "EEG", len(LABELS), RATE_HZ, "float32", f"{name}-serial")
    channels = info.desc().append_child("channels")
    for label in LABELS:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("unit", "microvolts")
        channel.append_child_value("type", "EEG")
    samples = pylsl.StreamOutlet(info, chunk_size=1)
    marker_info = pylsl.StreamInfo(f"{name}-markers", "Markers", 1, 0.0, "string", f"{name}-markers-serial")
    markers = pylsl.StreamOutlet(marker_info)
    print("ready", flush=True)
    sys.stdin.readline()
    # An inlet that finished its handshake is not yet a consumer: liblsl registers it a moment later.
    if not (samples.wait_for_consumers(PATIENCE_S) and markers.wait_for_consumers(PATIENCE_S)):
        sys.exit("nobody listens")
    for k in range(SAMPLES):
        row = np.array([(k * 8 + c) * 0.1 - 60_000.0 for c in range(len(LABELS))], dtype=np.float32)
        samples.push_sample(row, timestamp=1000.0 + k / RATE_HZ)
    for k, marker in enumerate(MARKERS):
        markers.push_sample([marker], timestamp=2000.0 + k)
    sys.stdin.read()


def receive(name):
    def inlet(stream_name):
        found = pylsl.resolve_byprop("name", stream_name, minimum=1, timeout=PATIENCE_S)
        if not found:
            sys.exit(f"{stream_name} was not found")
        opened = pylsl.StreamInlet(found[0], recover=False)
        opened.open_stream(timeout=PATIENCE_S)
        return opened

    samples, markers = inlet(name), inlet(f"{name}-markers")
    info = samples.info(timeout=PATIENCE_S)
    labels, units = [], []
    channel = info.desc().child("channels").child("channel")
    while not channel.empty():
        labels.append(channel.child_value("label"))
        units.append(channel.child_value("unit"))
        channel = channel.next_sibling("channel")
    print("ready", flush=True)

    values, stamps, texts, text_stamps = [], [], [], []
    while len(stamps) < SAMPLES:
        row, stamp = samples.pull_sample(timeout=PATIENCE_S)
        if stamp is None:
            sys.exit(f"only {len(stamps)} samples came")
        values.append(row)
        stamps.append(stamp)
    while len(texts) < len(MARKERS):
        text, stamp = markers.pull_sample(timeout=PATIENCE_S)
        if stamp is None:
            sys.exit(f"only {len(texts)} markers came")
        texts.append(text[0])
        text_stamps.append(stamp)
    received = {
        "type": info.type(),
        "source_id": info.source_id(),
        "rate_hz": info.nominal_srate(),
        "format": info.channel_format(),
        "labels": labels,
        "units": units,
        "stamps": stamps,
        "values": values,
        "markers": texts,
        "marker_stamps": text_stamps,
        "offset_s": samples.time_correction(timeout=PATIENCE_S),
    }
    print(json.dumps(received), flush=True)


if __name__ == "__main__":
    {"send": send, "receive": receive}[sys.argv[1]](sys.argv[2])
