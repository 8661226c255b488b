#!/usr/bin/env python3
"""Writes models/tokenizer/unicode_exceptions.h: where Hugging Face `tokenizers` and utf8proc disagree.

`tokenizers` mixes Unicode data of several versions (its libraries each carry their own), so that a character that is
new in one version is a letter for one step and nothing for another. This script asks the pinned `tokenizers` about
every code point and stores only what differs from the utf8proc that is installed.

    python3 unicode_exceptions.py > ../../../models/tokenizer/unicode_exceptions.h
"""
import ctypes
import ctypes.util

import tokenizers
from tokenizers import normalizers, pre_tokenizers

utf8proc = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
utf8proc.utf8proc_unicode_version.restype = ctypes.c_char_p
utf8proc.utf8proc_version.restype = ctypes.c_char_p
utf8proc.utf8proc_category_string.restype = ctypes.c_char_p
utf8proc.utf8proc_tolower.restype = ctypes.c_int32


class Property(ctypes.Structure):
    _fields_ = [("category", ctypes.c_int16), ("combining_class", ctypes.c_int16)]


utf8proc.utf8proc_get_property.restype = ctypes.POINTER(Property)
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CLASSES = ["REMOVED", "SPACE", "PUNCTUATION", "NONSPACING", "MARK", "LETTER", "NUMBER", "WORD"]
REMOVED, SPACE, PUNCTUATION, NONSPACING, MARK, LETTER, NUMBER, WORD = (1 << i for i in range(8))


def bert(clean=False, strip=False):
    return normalizers.BertNormalizer(clean_text=clean, handle_chinese_chars=False, strip_accents=strip, lowercase=False)


def reference_class(c, clean=bert(clean=True), strip=bert(strip=True), marks=normalizers.StripAccents(),
                    byte_level=pre_tokenizers.ByteLevel(add_prefix_space=False),
                    bert_split=pre_tokenizers.BertPreTokenizer(), words=pre_tokenizers.Whitespace()):
    s, bits = chr(c), 0
    bits |= REMOVED if clean.normalize_str(s) == "" else 0
    pieces = len(bert_split.pre_tokenize_str("a" + s + "a"))
    bits |= {1: 0, 2: SPACE, 3: PUNCTUATION}[pieces]
    bits |= NONSPACING if strip.normalize_str(s) == "" else 0
    bits |= MARK if marks.normalize_str(s) == "" else 0
    spans = [span for _, span in byte_level.pre_tokenize_str("a" + s + "a1" + s + "1")]
    bits |= LETTER if (0, 3) in spans else NUMBER if (3, 6) in spans else 0
    bits |= WORD if len(words.pre_tokenize_str("a" + s + "a")) == 1 else 0
    return bits


CATEGORY = {"Cc": REMOVED, "Cf": REMOVED, "Co": REMOVED, "Zs": SPACE, "Zl": SPACE, "Zp": SPACE,
            "Mn": NONSPACING | MARK | WORD, "Mc": MARK | WORD, "Me": MARK | WORD, "Pc": PUNCTUATION | WORD,
            "Nd": NUMBER | WORD, "Nl": NUMBER | WORD, "No": NUMBER}
CATEGORY.update({k: PUNCTUATION for k in ("Pd", "Ps", "Pe", "Pi", "Pf", "Po")})
CATEGORY.update({k: LETTER | WORD for k in ("Lu", "Ll", "Lt", "Lm", "Lo")})


def our_class(c):
    return CATEGORY.get(utf8proc.utf8proc_category_string(c).decode(), 0)


buffer = (ctypes.c_int32 * 64)()


def decompose(c, compatible):
    n = utf8proc.utf8proc_decompose_char(c, buffer, 64, (1 << 4) | ((1 << 2) if compatible else 0),
                                         ctypes.byref(ctypes.c_int(0)))
    return "".join(map(chr, buffer[:n]))


def combining_class(c):
    return utf8proc.utf8proc_get_property(c).contents.combining_class


def ranges(points, value=lambda c: None):
    rows = []
    for c in points:
        if rows and rows[-1][1] + 1 == c and rows[-1][2] == value(c):
            rows[-1][1] = c
        else:
            rows.append([c, c, value(c)])
    return rows


def main():
    reference = {c: reference_class(c) for c in POINTS if c >= 128}
    lowercase, nfd, nfkd = normalizers.Lowercase(), normalizers.NFD(), normalizers.NFKD()
    classes = ranges([c for c in reference if reference[c] != our_class(c)], reference.get)

    lower = {c: lowercase.normalize_str(chr(c)) for c in POINTS}
    odd = [c for c in POINTS if lower[c] != chr(utf8proc.utf8proc_tolower(c))]
    assert [c for c in odd if len(lower[c]) > 1] == [0x130], "U+0130 alone becomes two characters"
    lowers = ranges([c for c in odd if c != 0x130], lambda c: ord(lower[c]) - c)

    undone = []
    for kind, compatible in ((nfd, False), (nfkd, True)):
        for c in POINTS:
            if kind.normalize_str(chr(c)) != decompose(c, compatible):
                assert kind.normalize_str(chr(c)) == chr(c), hex(c)
                undone.append(c)
    undone = ranges(sorted(set(undone)))

    # A mark that the reference does not know has combining class 0: nothing is moved across it.
    marks = [c for c in POINTS if combining_class(c) and nfd.normalize_str(chr(c)) == chr(c)]
    low = {k: [m for m in marks if combining_class(m) == k and m < 0x3000] for k in (1, 220, 230, 240)}
    unordered = []
    for c in marks:
        k = combining_class(c)
        other = low[230][0] if k < 230 else low[1][0]
        text = "a" + (chr(other) + chr(c) if k < 230 else chr(c) + chr(other))
        if nfd.normalize_str(text) == text:
            unordered.append(c)
    for c in marks:  # and none that it orders has another class than utf8proc says
        if c in unordered:
            continue
        for m in (m for k in low for m in low[k][:1]):
            a, b = ((c, m), (m, c))[combining_class(c) < combining_class(m)]
            want = "a" + "".join(sorted([chr(a), chr(b)], key=lambda s: combining_class(ord(s))))
            assert nfd.normalize_str("a" + chr(a) + chr(b)) == want, hex(c)
    unordered = ranges(unordered)

    print("/* Made by tests/golden/tokenizer/unicode_exceptions.py; do not edit. Where Hugging Face tokenizers %s differs\n"
          " * from utf8proc %s (Unicode %s). */" % (tokenizers.__version__, utf8proc.utf8proc_version().decode(),
                                                   utf8proc.utf8proc_unicode_version().decode()))
    print("#ifndef PITH_MODELS_UNICODE_EXCEPTIONS_H\n#define PITH_MODELS_UNICODE_EXCEPTIONS_H\n")
    print("/* first, last, classes (bits of pith_char_class) */\nstatic const uint32_t class_exceptions[][3] = {")
    show(["{0x%X, 0x%X, 0x%02X}" % tuple(r) for r in classes])
    print("/* Blocks of 256 characters that have a row above. */\nstatic const uint64_t class_exception_blocks[] = {")
    blocks = {b for first, last, _ in classes for b in range(first >> 8, (last >> 8) + 1)}
    words = [sum(1 << i for i in range(64) if w * 64 + i in blocks) for w in range(0x1100 // 64)]
    show(["0x%X" % w for w in words])
    print("/* first, last, what to add for the lower case */\nstatic const int32_t lower_exceptions[][3] = {")
    show(["{0x%X, 0x%X, %d}" % tuple(r) for r in lowers])
    print("/* first, last: not decomposed */\nstatic const uint32_t whole_exceptions[][2] = {")
    show(["{0x%X, 0x%X}" % tuple(r[:2]) for r in undone])
    print("/* first, last: combining class 0 */\nstatic const uint32_t unordered_exceptions[][2] = {")
    show(["{0x%X, 0x%X}" % tuple(r[:2]) for r in unordered])
    print("#endif")


def show(items):
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += " " + item + ","
    print(line + "\n};\n")


if __name__ == "__main__":
    main()
