#!/usr/bin/env python3
"""Pith and its peers in turn, in one run: A B C A B C ..., medians, fractions of the peak measured in the same run.

    compare.py --pith build/pith --models DIR --lengths FILE [--rounds 5] [--seconds 2] [--rows NAME ...] --out results.csv

DIR holds minilm/ and bert-base/ as prepare.py makes them, and minilm.pith and bert-base.pith; for rows of INT8
minilm-int8.pith and bert-base-int8.pith (`pith quantize --mode static`), for a comparison with Pith's own other mode
bert-base-int8-dynamic.pith, and for pruned ones MODEL-int8-4x1-80.pith and so on (`pith prune --pattern 4x1 --sparsity 0.8
--scope layer --quantize static`). One-thread rows are pinned to core 0. Nothing else may run beside it. expected.csv gives the fraction of peak that each peer is known to reach (on a
Xeon, family 6 model 207); a peer under 0.95 of that is marked "below": its row compares with less than its best.
"""
import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SHAPES = {  # layers, hidden, intermediate
    "minilm": (6, 384, 1536),
    "bert-base": (12, 768, 3072),
}
# row: model file, batch, length (None: the lengths of the file), threads, the least ratio to the best peer
ROWS = {
    "minilm-1x16": ("minilm", 1, 16, 1, None),
    "minilm-1x128": ("minilm", 1, 128, 1, 1.10),
    "minilm-8x128": ("minilm", 8, 128, 1, 1.10),
    "minilm-1x384": ("minilm", 1, 384, 1, None),
    "bert-base-1x128": ("bert-base", 1, 128, 1, None),
    "bert-base-8x128": ("bert-base", 8, 128, 1, 1.00),
    "minilm-lengths": ("minilm", 8, None, 1, 1.20),
    "bert-base-lengths": ("bert-base", 8, None, 1, 1.15),
    "minilm-int8-1x16": ("minilm-int8", 1, 16, 1, 1.35),
    "minilm-int8-1x128": ("minilm-int8", 1, 128, 1, 1.30),
    "minilm-int8-8x128": ("minilm-int8", 8, 128, 1, 1.35),
    "minilm-int8-1x384": ("minilm-int8", 1, 384, 1, 1.50),
    "bert-base-int8-1x128": ("bert-base-int8", 1, 128, 1, None),
    "bert-base-int8-8x128": ("bert-base-int8", 8, 128, 1, 1.25),
    "minilm-int8-lengths": ("minilm-int8", 8, None, 1, 1.50),
    "bert-base-int8-lengths": ("bert-base-int8", 8, None, 1, 1.60),
}
# row: Pith against itself: the first file and threads, the second's, batch, length, the least ratio
OWN_ROWS = {
    "bert-base-8x128-threads": (("bert-base", 2), ("bert-base", 1), 8, 128, 1.92),
    "bert-base-int8-8x128-threads": (("bert-base-int8", 2), ("bert-base-int8", 1), 8, 128, 1.90),
    "bert-base-8x128-int8-fp32": (("bert-base-int8", 1), ("bert-base", 1), 8, 128, 3.5),
    "bert-base-8x128-dynamic-static": (("bert-base-int8-dynamic", 1), ("bert-base-int8", 1), 8, 128, 0.92),
    "bert-base-8x128-4x4-80": (("bert-base-4x4-80", 1), ("bert-base", 1), 8, 128, 2.2),
}
# Pruned INT8 models (MODEL-int8-4x1-80 and so on) against the dense one.
for _model, _batch, _bars in (("bert-base", 8, (1.85, 2.7, 2.7, 3.6)), ("bert-base", 1, (2.0, 2.9, None, None)),
                              ("minilm", 8, (1.6, 2.1, 2.1, 2.5)), ("minilm", 1, (None, None, None, None))):
    for _pattern, _bar in zip(("4x1-80", "4x1-90", "4x4-80", "4x4-90"), _bars):
        OWN_ROWS[f"{_model}-int8-{_batch}x128-{_pattern}"] = (
            (f"{_model}-int8-{_pattern}", 1), (f"{_model}-int8", 1), _batch, 128, _bar)
ARRANGEMENTS = {"batch 1": ["--batch", "1"], "batch 8": ["--batch", "8"], "batch 8 sorted": ["--batch", "8", "--sorted"]}


def flops_of(model, length):
    layers, hidden, intermediate = SHAPES[model]
    return layers * (2 * length * (4 * hidden * hidden + 2 * hidden * intermediate) + 4 * length * length * hidden)


class Peer:
    def __init__(self, label, command, preload=None):
        self.label, self.rates = label, []
        environment = dict(os.environ, LD_PRELOAD=str(preload)) if preload else None
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        if not self.process.stdout.readline():
            raise SystemExit(f"{label}: did not start: {' '.join(command)}")

    def measure(self, seconds):
        self.process.stdin.write(json.dumps({"seconds": seconds}) + "\n")
        self.process.stdin.flush()
        self.rates.append(json.loads(self.process.stdout.readline())["samples_per_s"])

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Pith:
    def __init__(self, label, arguments, file, batch, length, threads):
        self.label, self.rates, self.peaks, self.threads = label, [], [], threads
        self.peak = "int8_gops" if "int8" in file else "fp32_gflops"
        self.command = ["taskset", "-c", "0"] if threads == 1 else []
        self.command += [arguments.pith, "bench", str(pathlib.Path(arguments.models) / f"{file}.pith"),
                         "--batch", str(batch), "--threads", str(threads)]
        self.command += ["--lengths", arguments.lengths] if length is None else ["--seq", str(length)]

    def measure(self, seconds):
        out = subprocess.run(self.command + ["--seconds", str(seconds), "--json"], capture_output=True, text=True, check=True)
        answer = json.loads(out.stdout)
        self.rates.append(answer["samples_per_s"])
        self.peaks.append(answer["peak"][self.peak])

    def close(self):
        pass


def contestants_of(name, arguments, preloads):
    """Pith first, then whom it is compared with."""
    if name in OWN_ROWS:
        first, second, batch, length, _ = OWN_ROWS[name]
        return [Pith(f"pith {file}, threads {threads}", arguments, file, batch, length, threads)
                for file, threads in (first, second)]
    file, batch, length, threads, _ = ROWS[name]
    model, precision = file.removesuffix("-int8"), "int8" if file.endswith("-int8") else "fp32"
    contestants = [Pith("pith", arguments, file, batch, length, threads)]
    worker = ["taskset", "-c", "0", sys.executable, str(HERE / "worker.py"), "--precision", precision,
              "--model", str(pathlib.Path(arguments.models) / model), "--threads", str(threads)]
    for engine in arguments.engines:
        command = worker + ["--engine", engine]
        if length is not None:
            contestants.append(Peer(engine, command + ["--batch", str(batch), "--seq", str(length)], preloads.get(engine)))
            continue
        for text, flags in ARRANGEMENTS.items():
            contestants.append(Peer(f"{engine} {text}", command + ["--lengths", arguments.lengths] + flags,
                                    preloads.get(engine)))
    return contestants


def measure_row(name, arguments, preloads, expected):
    if name in OWN_ROWS:
        (file, _), _, _, length, bar = OWN_ROWS[name]
    else:
        file, _, length, _, bar = ROWS[name]
    model = file.split("-int8")[0].split("-4x")[0]
    lengths = [length] if length else [int(line) for line in pathlib.Path(arguments.lengths).read_text().split()]
    flops = sum(flops_of(model, n) for n in lengths) / len(lengths)
    contestants = contestants_of(name, arguments, preloads)
    for _ in range(arguments.rounds):
        for contestant in contestants:
            contestant.measure(arguments.seconds)
    for contestant in contestants:
        contestant.close()
    ours = statistics.median(contestants[0].rates)
    rows = []
    for contestant in contestants:
        rate = statistics.median(contestant.rates)
        own = contestant if isinstance(contestant, Pith) else contestants[0]
        peak = statistics.median(own.peaks) * 1e9
        fraction = rate * flops / peak / (own.threads if own is contestant else 1)
        known = expected.get((name, contestant.label))
        rows.append({"row": name, "engine": contestant.label, "samples_per_s": f"{rate:.2f}",
                     "spread": f"{(max(contestant.rates) - min(contestant.rates)) / rate:.3f}",
                     "fraction_of_peak": f"{fraction:.3f}", "pith_ratio": f"{ours / rate:.3f}",
                     "peak_gops": f"{peak / 1e9:.1f}", "expected_fraction": known or "",
                     "below": "below" if known and fraction < 0.95 * float(known) else ""})
        print(*rows[-1].values(), sep="\t", flush=True)
    best = max(statistics.median(c.rates) for c in contestants[1:])
    verdict = "" if bar is None else f", bar {bar}: {'met' if ours / best >= bar else 'NOT met'}"
    print(f"{name}: {ours / best:.3f} x the best of the others{verdict}", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pith", default="build/pith")
    parser.add_argument("--models", required=True)
    parser.add_argument("--lengths", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rows", nargs="*", default=[*ROWS, *OWN_ROWS], choices=[*ROWS, *OWN_ROWS])
    parser.add_argument("--engines", nargs="*", default=["onnxruntime", "openvino", "pytorch", "ctranslate2"])
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    with open(HERE / "expected.csv", newline="") as file:
        expected = {(r["row"], r["engine"]): r["fraction_of_peak"] for r in csv.DictReader(file)}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        shim = pathlib.Path(folder) / "mkl_any_cpu.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, HERE / "mkl_any_cpu.c"], check=True)
        for name in arguments.rows:
            rows += measure_row(name, arguments, {"pytorch": shim}, expected)
    with open(arguments.out, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
