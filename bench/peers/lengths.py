#!/usr/bin/env python3
"""Token counts of the first 256 MRPC test pairs, one a line: lengths.py VOCAB.txt msr_paraphrase_test.txt > lengths.txt"""
import sys

from tokenizers import BertWordPieceTokenizer

tokenizer = BertWordPieceTokenizer(sys.argv[1], lowercase=True)
with open(sys.argv[2], encoding="utf-8-sig", newline="\r\n") as file:
    rows = [line.rstrip("\r\n").split("\t") for line in list(file)[:256]]
for row in rows:
    print(len(tokenizer.encode(row[3], row[4]).ids))
