#!/usr/bin/env python3
"""TensorBoard's own reader on golden.tfevents, whose bytes tests/train/test_event_file.c compares with what Pith writes.

    python3 read.py      (see requirements.txt)

Fails unless it finds every curve with the right steps, times and values, and drops what a restart takes back. To make the file
anew: PITH_WRITE_GOLDEN=golden.tfevents build/tests/train/test_event_file
"""
import math
import os
import shutil
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

HERE = os.path.dirname(os.path.abspath(__file__))
TIME = 1.75e9


def near(a, b):
    return a == b or math.isclose(a, b, rel_tol=1e-7)


golden = os.path.join(HERE, "golden.tfevents")
records = list(EventFileLoader(golden).Load())  # checks the CRC of every record
assert records[0].file_version == "brain.Event:2" and len(records) == 1 + 10 + 1 + 2, len(records)

with tempfile.TemporaryDirectory() as folder:
    shutil.copy(golden, os.path.join(folder, "events.out.tfevents.1750000000.host"))
    accumulator = EventAccumulator(folder)
    accumulator.Reload()
    assert sorted(accumulator.Tags()["scalars"]) == ["eval/accuracy", "loss"], accumulator.Tags()
    loss = [(e.step, e.wall_time, e.value) for e in accumulator.Scalars("loss")]
    accuracy = [(e.step, e.wall_time, e.value) for e in accumulator.Scalars("eval/accuracy")]

wanted = [(s, TIME + s, 1 / (s + 1)) for s in (0, 100, 200)] + [(300, TIME + 501, 0.125), (5000000000, TIME + 502, -math.inf)]
assert len(loss) == len(wanted) and all(near(x, y) for a, b in zip(loss, wanted) for x, y in zip(a, b)), loss
wanted = [(s, TIME + s, s / 512) for s in (0, 100, 200)]
assert accuracy == wanted, accuracy
print(f"{len(records)} records, {len(loss)} + {len(accuracy)} points: as written")
