#!/usr/bin/env python3
"""The same texts through every subset of instruction sets, batch, order and thread count: every answer has the same bits.

    identical.py --pith build/pith --model M.pith --texts FILE [--count 10000] [--plain 500] [--emulate qemu-x86_64]

`pith run --json` prints floats with the digits that give the same bits back, so lines are compared. A subset of features is
run once for each class of kernels that it leaves; plain C, and everything under --emulate, on the first --plain texts.
"""
import argparse
import itertools
import pathlib
import random
import subprocess
import sys
import tempfile
import time

FEATURES = ["avx512vnni", "avxvnni", "avx512", "avx2"]


def run(arguments, file, without, batch, threads, prefix=()):
    command = [*prefix, arguments.pith, "run", arguments.model, "--input", str(file), "--json", "--batch", str(batch),
               "--threads", str(threads)]
    if without:
        command += ["--without", ",".join(without)]
    begin = time.monotonic()
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {out.stderr}")
    return out.stdout.splitlines(), time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pith", default="build/pith")
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--plain", type=int, default=500)
    parser.add_argument("--emulate", help="qemu-x86_64: plain C and AVX2 once more on a Haswell")
    arguments = parser.parse_args()
    texts = [line for line in pathlib.Path(arguments.texts).read_text(encoding="utf-8").splitlines() if line.strip()]
    texts = texts[:arguments.count]
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        plain, shuffled, few = (pathlib.Path(folder) / name for name in ("all.txt", "shuffled.txt", "few.txt"))
        plain.write_text("".join(t + "\n" for t in texts), encoding="utf-8")
        shuffled.write_text("".join(texts[i] + "\n" for i in order), encoding="utf-8")
        few.write_text("".join(t + "\n" for t in texts[:arguments.plain]), encoding="utf-8")
        wanted, seconds = run(arguments, plain, [], 8, 1)
        if len(wanted) != len(texts):
            raise SystemExit(f"{len(wanted)} answers to {len(texts)} texts")
        print(f"{len(texts)} texts, {len(set(wanted))} different answers, {seconds:.0f} s")

        def check(what, lines, expected, took):
            nonlocal failures
            different = sum(a != b for a, b in zip(lines, expected)) + abs(len(lines) - len(expected))
            failures += different != 0
            print(f"{what}: {different} of {len(expected)} differ, {took:.0f} s", flush=True)

        for count in range(len(FEATURES) + 1):
            for without in itertools.combinations(FEATURES, count):
                if "avx2" in without and count < len(FEATURES):
                    continue  # everything else needs AVX2: plain C, which the full set is
                name = "without " + (",".join(without) or "nothing")
                if count == len(FEATURES):
                    for batch, threads in ((1, 1), (64, 2)):
                        lines, took = run(arguments, few, without, batch, threads)
                        check(f"{name}, batch {batch}, {threads} threads", lines, wanted[:arguments.plain], took)
                    continue
                for batch, threads in ((1, 1), (8, 2), (64, 1)):
                    lines, took = run(arguments, plain, without, batch, threads)
                    check(f"{name}, batch {batch}, {threads} threads", lines, wanted, took)
                lines, took = run(arguments, shuffled, without, 64, 2)
                check(f"{name}, batch 64, 2 threads, shuffled", lines, [wanted[i] for i in order], took)
        if arguments.emulate:
            for without in ([], ["avx2"]):
                lines, took = run(arguments, few, without, 64, 1, [arguments.emulate, "-cpu", "Haswell"])
                check(f"Haswell emulated, without {','.join(without) or 'nothing'}", lines, wanted[:arguments.plain], took)
    sys.exit(failures != 0)


if __name__ == "__main__":
    main()
