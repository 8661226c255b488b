"""Reading and writing the escaped text files here, and offsets in bytes.

A line of such a file is one text of any bytes: \\xHH stands for a byte, \\\\ for a backslash; everything that is not a plain
printable character is escaped.
"""
import codecs
import unicodedata


def escape(data):
    """bytes -> one line of str"""
    out = []
    text = data.decode("utf-8", "surrogateescape")
    for c in text:
        if c == "\\":
            out.append("\\\\")
        elif c == " " or (unicodedata.category(c)[0] in "LNPS" and unicodedata.normalize("NFC", c) == c):
            out.append(c)
        else:
            out.append("".join("\\x%02X" % b for b in c.encode("utf-8", "surrogateescape")))
    return "".join(out)


def unescape(line):
    out, at = bytearray(), 0
    while at < len(line):
        if line[at] != "\\":
            out += line[at].encode()
            at += 1
        elif line[at + 1] == "\\":
            out += b"\\"
            at += 2
        else:
            out.append(int(line[at + 2:at + 4], 16))
            at += 4
    return bytes(out)


def read(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [unescape(line.rstrip("\n")) for line in file]


def decode(data):
    """The str that Python makes of the bytes (errors="replace"), and where each of its characters begins, in bytes, with the
    end last."""
    if data.isascii():
        return data.decode(), None
    replaced = []

    def handler(error):
        replaced.append((error.start, error.end))
        return "\ufffd", error.end

    codecs.register_error("record", handler)
    text = data.decode("utf-8", "record")
    begins, at, waiting = [], 0, iter(replaced + [(-1, -1)])
    begin, end = next(waiting)
    for c in text:
        begins.append(at)
        if at == begin:
            at = end
            begin, end = next(waiting)
        else:
            at += len(c.encode())
    assert at == len(data)
    return text, begins + [at]
