#!/usr/bin/env python3
"""Compares Pith's tokenizers with Hugging Face `tokenizers`: ids, type ids, sequences, and offsets, which have to be equal.

    python3 compare.py --driver BUILD/tests/models/tokenize_driver [--data ../shared/data] [--quick]

Every line of the data with every WordPiece and BPE vocabulary there, from the bare vocabulary files and from the
tokenizer.json that `tokenizers` writes; pairs with truncation; and torture.txt with those and with the option variants of
variants.py. Prints a line for each set, and exits with 1 where anything differs.
"""
import argparse
import csv
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

import texts
import variants

HERE = os.path.dirname(os.path.abspath(__file__))


def corpora(data):
    """name -> list of texts (bytes)"""
    sets = {}
    for split in ("train", "dev", "test"):
        with open(f"{data}/sst2/{split}.tsv", "rb") as file:
            sets[f"sst2 {split}"] = [line.split(b"\t")[0] for line in file.read().split(b"\n")[1:] if line]
        with open(f"{data}/stsb/stsb-en-{split}.csv", encoding="utf-8", newline="") as file:
            sets[f"stsb {split}"] = [cell.encode() for row in csv.reader(file) for cell in row[:2]]
    for split in ("train", "test"):
        with open(f"{data}/mrpc/msr_paraphrase_{split}.txt", "rb") as file:
            rows = [line.split(b"\t") for line in file.read().split(b"\r\n") if line]
        sets[f"mrpc {split}"] = [cell for row in rows for cell in row[3:5]]
    with open(f"{data}/xquad/xquad.en.json", encoding="utf-8") as file:
        paragraphs = [p for article in json.load(file)["data"] for p in article["paragraphs"]]
    sets["xquad"] = [p["context"].encode() for p in paragraphs] + [q["question"].encode() for p in paragraphs for q in p["qas"]]
    with open(f"{data}/wikitext2/wiki.test.raw", "rb") as file:
        sets["wikitext2"] = file.read().split(b"\n")
    return sets


def records(items):
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def ours(driver, directory, items, pairs=False, max_length=0, cased=False):
    command = [driver, directory] + (["--pairs"] if pairs else []) + (["--cased"] if cased else [])
    command += ["--max-length", str(max_length)] if max_length else []
    run = subprocess.run(command, input=records(items), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit {run.returncode}: {run.stderr.decode(errors='replace')[-2000:]}")
    out, at = run.stdout, 0
    for _ in range(len(items) // (2 if pairs else 1)):
        n, = struct.unpack_from("<I", out, at)
        at += 4
        numbers = np.frombuffer(out, "<i4", 4 * n, at)
        yield numbers[:n].tolist(), numbers[n:2 * n].tolist(), numbers[2 * n:].reshape(n, 2).tolist(), list(out[at + 16 * n:at + 17 * n])
        at += 17 * n
    assert at == len(out)


def theirs(tokenizer, items, pairs=False):
    """The same from the reference, offsets turned into bytes."""
    decoded = [texts.decode(item) for item in items]
    inputs = [d[0] for d in decoded]
    if pairs:
        inputs = list(zip(inputs[::2], inputs[1::2]))
    for start in range(0, len(inputs), 1000):
        for i, encoding in enumerate(tokenizer.encode_batch(inputs[start:start + 1000]), start):
            sequence = [255 if s is None else s for s in encoding.sequence_ids]
            offsets = [list(o) for o in encoding.offsets]
            for k, s in enumerate(sequence):
                begins = decoded[2 * i + s if pairs else i][1] if s != 255 else None
                if begins is not None:
                    offsets[k] = [begins[offsets[k][0]], begins[offsets[k][1]]]
            yield encoding.ids, encoding.type_ids, offsets, sequence


class Comparison:
    def __init__(self, driver):
        self.driver, self.encodings, self.different = driver, 0, 0

    def run(self, name, tokenizer, directory, items, pairs=False, max_length=0, cased=False):
        begin = time.time()
        if max_length:
            tokenizer.enable_truncation(max_length)
        else:
            tokenizer.no_truncation()
        count = bad = 0
        step = 2 if pairs else 1
        got = ours(self.driver, directory, items, pairs, max_length, cased)
        for i, (a, b) in enumerate(zip(got, theirs(tokenizer, items, pairs))):
            count += 1
            if a != b:
                bad += 1
                if bad <= 3:
                    print(f"  {name}: {items[i * step:(i + 1) * step]!r}"[:700])
                    for what, x, y in zip(("ids", "types", "offsets", "sequences"), a, b):
                        if x != y:
                            k = next((k for k in range(min(len(x), len(y))) if x[k] != y[k]), min(len(x), len(y)))
                            print(f"    {what} at {k}: ours {x[max(0, k - 2):k + 6]} theirs {y[max(0, k - 2):k + 6]}")
        assert count == len(items) // step
        self.encodings += count
        self.different += bad
        print(f"{name}: {count} encodings, {bad} different ({time.time() - begin:.1f} s)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", required=True)
    parser.add_argument("--data", default=os.environ.get("PITH_DATA", os.path.join(HERE, "../../../../shared/data")))
    parser.add_argument("--quick", action="store_true", help="every 20th line of the data")
    options = parser.parse_args()
    comparison = Comparison(options.driver)
    torture = texts.read(os.path.join(HERE, "torture.txt"))
    even = [text for text in torture if len(text) < 300]  # cut into many parts, longer ones take the reference minutes
    even = even[:len(even) // 2 * 2]

    for name, directory in variants.small(HERE):
        tokenizer = variants.load(directory)
        comparison.run(f"{name}: torture", tokenizer, directory, torture)
        for length in (5, 6, 7, 8, 16, 31):
            comparison.run(f"{name}: torture pairs, at most {length}", tokenizer, directory, even, True, length)
        comparison.run(f"{name}: torture, at most 9", tokenizer, directory, torture, False, 9)

    if os.path.isdir(options.data):
        sets = corpora(options.data)
        if options.quick:
            sets = {name: items[::20] for name, items in sets.items()}
        everything = [item for items in sets.values() for item in items]
        couples = [item for name in sets if name[:4] in ("stsb", "mrpc") for item in sets[name]]
        couples = couples[:len(couples) // 2 * 2]
        for name, directory, tokenizer, cased in variants.shared(options.data):
            comparison.run(f"{name}: all data", tokenizer, directory, everything, cased=cased)
            comparison.run(f"{name}: torture", tokenizer, directory, torture, cased=cased)
            comparison.run(f"{name}: pairs, at most 40", tokenizer, directory, couples, True, 40, cased=cased)
            with tempfile.TemporaryDirectory() as temporary:
                tokenizer.no_truncation()
                tokenizer.save(f"{temporary}/tokenizer.json")
                comparison.run(f"{name}, tokenizer.json: torture", tokenizer, temporary, torture)
                comparison.run(f"{name}, tokenizer.json: pairs", tokenizer, temporary, couples[:10000], True)
    else:
        print(f"{options.data}: not there; the comparison over the shared data is skipped")
    print(f"{comparison.encodings} encodings, {comparison.different} different")
    sys.exit(comparison.different != 0)


if __name__ == "__main__":
    main()
