"""usage: check_session.py FOLDER
Opens a session folder with pyxdf and sqlite3, and nothing of ours: exits 0 when it is whole and agrees with itself."""
import hashlib
import json
import math
import os
import sqlite3
import stat
import sys

import numpy
import pyxdf

folder = sys.argv[1]
failures = []


def check(holds, what):
    print(("ok      " if holds else "FAILED  ") + what)
    if not holds:
        failures.append(what)


def load(name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


names = ["manifest.json", "session.xdf", "ledger.sqlite", "text.txt", "summary.json", "latency.json", "report.html"]
for name in names:
    path = os.path.join(folder, name)
    check(os.path.isfile(path) and os.path.getsize(path) > 0, f"{name} is there")
    if os.path.isfile(path):
        check(stat.S_IMODE(os.stat(path).st_mode) == 0o600, f"{name} is private (0600)")

manifest = load("manifest.json")
check(manifest["complete"], "the manifest says that the session is complete")
text = manifest["config"]["text"].encode()
check(hashlib.sha256(text).hexdigest() == manifest["config"]["sha256"], "the configuration has the digest it is said to have")

streams, _ = pyxdf.load_xdf(os.path.join(folder, "session.xdf"), dejitter_timestamps=False)
by_type = {s["info"]["type"][0]: s for s in streams}
check({"EEG", "Gaze", "Markers", "State"} <= set(by_type), f"pyxdf finds EEG, gaze, markers and state ({sorted(by_type)})")
for kind in ("EEG", "Gaze"):
    s = by_type[kind]
    stamps = s["time_stamps"]
    rate = float(s["info"]["nominal_srate"][0])
    span = stamps[-1] - stamps[0]
    check(len(stamps) == len(s["time_series"]) and len(stamps) > 10 * rate, f"{kind}: {len(stamps)} samples")
    check(abs(len(stamps) / span - rate) < 0.02 * rate, f"{kind}: {len(stamps) / span:.2f} Hz of nominal {rate:.0f}")
    check(int(s["footer"]["info"]["sample_count"][0]) == len(stamps), f"{kind}: the footer counts the same")
    check(len(s["clock_times"]) >= 2, f"{kind}: {len(s['clock_times'])} clock offsets")

markers = [json.loads(row[0]) for row in by_type["Markers"]["time_series"]]
sequence = [m["seq"] for m in markers]
check(sequence == list(range(sequence[0], sequence[0] + len(sequence))), f"{len(markers)} markers, numbered without gaps")
opened = {m["fork"] for m in markers if m["event"] == "fork_open"}
closed = {m["fork"]: m for m in markers if m["event"] == "fork_close"}
check(opened == set(closed), f"{len(opened)} forks were opened and closed in the markers")
flashes = {}
for m in markers:
    if m["event"] == "flash":
        flashes.setdefault(m["fork"], []).append(m)

state = by_type["State"]
labels = [c["label"][0] for c in state["info"]["desc"][0]["channels"][0]["channel"]]
values = {label: state["time_series"][:, n] for n, label in enumerate(labels)}
check(len(state["time_stamps"]) > 10, f"{len(state['time_stamps'])} states of the person were recorded")
clock = state["time_stamps"] - values["time_on_task_s"]
check(max(clock) - min(clock) < 0.1, "the time on task runs with the stamps")
for label in [label for label in labels if label.endswith(("_risen", "_fallen"))]:
    known = values[label][~numpy.isnan(values[label])]
    check(((known >= 0) & (known <= 1)).all(), f"{label} is a probability wherever it is known ({len(known)} times)")

ledger = sqlite3.connect(f"file:{os.path.join(folder, 'ledger.sqlite')}?mode=ro", uri=True)
check(ledger.execute("PRAGMA integrity_check").fetchone()[0] == "ok", "sqlite3 finds the ledger sound")
forks = dict(ledger.execute("SELECT fork, asked FROM fork"))
asked = {fork for fork, was in forks.items() if was}
check(asked == opened, "the ledger asked at the forks that the markers opened")
choices = ledger.execute("SELECT fork, outcome, item, chooser FROM choice").fetchall()
check({row[0] for row in choices} == set(forks), "every fork has one choice")
for fork, outcome, item, _ in choices:
    if fork in closed:
        marker = closed[fork]
        same = marker["outcome"] == outcome and (outcome != "committed" or marker["item"] is not None)
        if not same:
            check(False, f"fork {fork}: marker and ledger agree")
evidence = ledger.execute("SELECT fork, source, item, raw_score FROM evidence WHERE source = 'p300'").fetchall()
check(len(evidence) > 0, f"{len(evidence)} P300 items, {ledger.execute('SELECT count(*) FROM evidence').fetchone()[0]} in all")
check(all(score is not None and math.isfinite(score) for *_, score in evidence), "every P300 item has a finite score")
check(all(len([e for e in evidence if e[0] == fork]) <= len(flashes.get(fork, [])) for fork in asked), "no fork has more P300 items than flashes")

states = {row[0]: row for row in ledger.execute("SELECT fork, time_on_task_s, baseline_share, theta_alpha, theta_alpha_risen FROM state")}
check(set(states) == set(forks), "every fork has one state of the person")
times = [states[fork][1] for fork in sorted(states)]
check(times == sorted(times) and times[0] >= 0, "the time on task stands beside every state and never goes back")
columns = [row[1] for row in ledger.execute("PRAGMA table_info(state)")]
check(all(label in columns for label in labels), "stream and ledger name the same values")

summary = load("summary.json")
check(summary["state"]["forks"] == len(states), "the summary counts the ledger's states")
check(summary["counts"]["forks"] == len(forks), "the summary counts the ledger's forks")
check(summary["accuracy"] is not None, "four arms were scored")
with open(os.path.join(folder, "text.txt"), encoding="utf-8", newline="") as file:
    text = file.read()
check(len(text.split()) > 20, f"the text has {len(text.split())} words")
said, prompts = "", []
for m in markers:
    if m["event"] == "text":
        said = m["piece"] if m["replace"] else said + m["piece"]
        prompts += [m["piece"]] if m.get("prompt") else []
check(said == text, "the markers' pieces make the text, letter for letter")
texts = manifest["texts"]
begins = [t["begins_char"] for t in texts]
check(begins[:1] == [0] and all(text[:at].endswith("\n\n") for at in begins[1:]), f"{len(texts)} texts, a blank line between them")
given = [text[t["begins_char"]:][:t["prompt_chars"]] for t in texts]
check([g for g in given if g] == prompts, f"every prompt stands where the manifest says ({sorted(set(given))})")
with open(os.path.join(folder, "report.html"), encoding="utf-8") as file:
    html = file.read()
check("<svg" in html and "src=\"http" not in html and "href=\"http" not in html, "the report has pictures and asks nobody for anything")

print(f"{len(failures)} failed" if failures else "all held")
sys.exit(1 if failures else 0)
