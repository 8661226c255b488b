#!/usr/bin/env python3
"""Writes golden/NAME.txt for every tokenizer in vocabularies/: what the pinned `tokenizers` makes of torture.txt.

A line for a line of torture.txt: a hash of the ids and offsets (in bytes); for the first ones, and short ones after them, the
tokens themselves stand before it, so that a difference can be read: "id,begin,end ...". Then a line "pair N" and a hash for
each two lines as a pair, at most N tokens. The hash is FNV-1a, 64 bits, over id, begin, end of each token, 32 bits each.

    pip install -r requirements.txt; python3 make_golden.py [../shared/data]
"""
import os
import struct
import sys

import texts
import variants
from compare import theirs

HERE = os.path.dirname(os.path.abspath(__file__))
SHOWN, SHORT = 100, 24  # lines whose tokens are written; tokens of one after them
PAIR_LENGTHS = (7, 20)
PAIR_BYTES = 300  # longer texts are not paired (an empty line): cutting them into parts takes the reference minutes


START = 0xCBF29CE484222325


def fnv(ids, offsets, h=START):
    for byte in b"".join(struct.pack("<III", i, *o) for i, o in zip(ids, offsets)):
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def main():
    torture = texts.read(os.path.join(HERE, "torture.txt"))
    os.makedirs(os.path.join(HERE, "golden"), exist_ok=True)
    for name, directory in variants.small(HERE):
        tokenizer = variants.load(directory)
        lines = []
        for i, (ids, _, offsets, _) in enumerate(theirs(tokenizer, torture)):
            shown = [f"{t},{b},{e}" for t, (b, e) in zip(ids, offsets)] if i % 7 == 0 and len(ids) <= SHOWN or len(ids) <= SHORT else []
            lines.append(" ".join(shown + [f"={fnv(ids, offsets):016x}"]))
        for length in PAIR_LENGTHS:
            lines.append(f"pair {length}")
            tokenizer.enable_truncation(length)
            for pair in zip(torture[::2], torture[1::2]):
                if max(map(len, pair)) >= PAIR_BYTES:
                    lines.append("")
                    continue
                ids, _, offsets, _ = next(theirs(tokenizer, pair, True))
                lines.append(f"={fnv(ids, offsets):016x}")
        with open(f"{HERE}/golden/{name}.txt", "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
    if len(sys.argv) > 1:
        shared(sys.argv[1])


def shared(data):
    """golden_shared.txt: vocabulary, 1 where it is cased, one hash over WikiText-2's lines."""
    with open(f"{data}/wikitext2/wiki.test.raw", "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    with open(f"{HERE}/golden_shared.txt", "w", encoding="ascii") as out:
        for name, _, tokenizer, cased in variants.shared(data):
            h = START
            for ids, _, offsets, _ in theirs(tokenizer, lines):
                h = fnv(ids, offsets, h)
            out.write(f"{name} {int(cased)} {h:016x}\n")


if __name__ == "__main__":
    main()
