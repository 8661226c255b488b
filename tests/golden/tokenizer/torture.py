#!/usr/bin/env python3
"""Writes torture.txt: texts that tokenizers get wrong. Hand-written lines first, then lines made from a fixed seed.

    python3 torture.py > torture.txt
"""
import random
import sys

import texts

HAND = r"""
The quick brown fox jumps over the lazy dog, twice: once at 10:45, once at 23:59!
Don't we'll they've I'm she'd it's y'all o'clock 'tis rock'n'roll
DON'T WE'LL THEY'VE I'M SHE'D IT'S 'S 'T 'RE 'VE 'M 'LL 'D
it’s a curly apostrophe, don‘t you think? ‚low‘ „low“ «guillemets» ‹single›
naïve café résumé Ångström coöperate façade jalapeño piñata Zoë Brontë
NAÏVE CAFÉ RÉSUMÉ ÅNGSTRÖM COÖPERATE FAÇADE JALAPEÑO
İstanbul'da ılık bir gün, IĞDIR'da değil; Iıİi
Straße STRASSE ẞ ß ﬀ ﬁ ﬂ ﬃ ﬄ ﬅ ﬆ
Σίσυφος ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ ὀδυσσεύς ᾳ ᾼ ᾷ ΐ ΰ
ǅungla ǄUNGLA ǆungla ǈ ǋ Ǳ ǲ ǳ K (kelvin) Å (angstrom) Ω (ohm)
Съешь же ещё этих мягких французских булок, да выпей чаю. Ёлка ЁЛКА Їжак Ґанок
Щурячий бугай із їжаком-харцизом в'ючись підписали ґешефт у єнах.
Příliš žluťoučký kůň úpěl ďábelské ódy. PŘÍLIŠ ŽLUŤOUČKÝ
Zażółć gęślą jaźń. ZAŻÓŁĆ GĘŚLĄ JAŹŃ. Łódź łódź
Árvíztűrő tükörfúrógép. Egy hűtlen vejét fülöncsípő
Pchnąć w tę łódź jeża lub ośm skrzyń fig.
Þú dazt á hnéð í vök og yfir blóm sexý pæju. ÞÆTTI ÐÁ
Tiếng Việt có dấu: Trường đại học Bách khoa Hà Nội, phở bò tái chín, Nguyễn Ngọc Ngạn
ĐƯỜNG PHỐ ẤY ỒN ÀO ỮNG ƯỚC
الكتابة من اليمين إلى اليسار، مع أرقام ١٢٣ و456؟
بِسْمِ ٱللَّهِ ٱلرَّحْمَٰنِ ٱلرَّحِيمِ
السَّلَامُ عَلَيْكُمْ ؛ كيف حالك؟ ﷺ ﷽ ﻻ ﻼ
این متن فارسی است؛ می‌خواهم نیم‌فاصله را آزمایش کنم.
یہ اردو ہے، ڑ ٹ ڈ ے
שָׁלוֹם עֲלֵיכֶם! מה שלומך? עִבְרִית עם נִקּוּד ״גרשיים״ ׳גרש׳
בְּרֵאשִׁית בָּרָא אֱלֹהִים
ܫܠܡܐ ܥܠܝܟܘܢ ޘާނަ ހަފްތާ
नमस्ते दुनिया! क़ ख़ ग़ ज़ ड़ ढ़ फ़ य़ हिन्दी में १२३४५।
क्षत्रिय ज्ञान श्री र्‍ क्‌ष संस्कृतम् ॐ ॥
বাংলা ভাষা: আমি বাংলায় গান গাই। ড় ঢ় য় কো কৌ
ਪੰਜਾਬੀ ਗੁਰਮੁਖੀ ਸ਼ ਖ਼ ਗ਼ ਜ਼ ਫ਼
ગુજરાતી ଓଡ଼ିଆ ଢ଼ தமிழ் மொழி கொ கோ கௌ ஸ்ரீ
తెలుగు భాష ಕನ್ನಡ ಭಾಷೆ ಕೊ ಕೋ മലയാളം ൻ ൽ ൾ ක්‍රි ශ්‍රී ලංකා කෝ
ภาษาไทยไม่มีวรรคระหว่างคำ น้ำ ทำ กำ ๑๒๓ ฿
ພາສາລາວ ນ້ຳ ໜ ໝ ຫຼ
བོད་སྐད། ཀྵ གྷ ཌྷ དྷ བྷ ཛྷ ཱི ཱུ ྲྀ ླྀ
မြန်မာဘာသာ ကျွန်တော် ឥឡូវនេះ ភាសាខ្មែរ
ქართული ენა ᲥᲐᲠᲗᲣᲚᲘ Ა ა Ⴀ ⴀ
Հայերեն լեզու և եւ ՀԱՅԵՐԵՆ ﬓ ﬔ ﬕ
አማርኛ ቋንቋ ፡ ። ፣ ፻፪
ᏣᎳᎩ ꮳꮃꭹ ᎠᎡ ꭰ 𐐀𐐁𐐂 𐐨𐐩 𐓀 𐓨 𞤀 𞤢
日本語のテキスト、カタカナとひらがな。漢字も混ざっています！
ﾊﾝｶｸ ｶﾞｷﾞｸﾞ ﾊﾟﾋﾟ ヴァイオリン ゔ が ぱ ヷ ヸ ヹ ヺ
全角英数ＡＢＣａｂｃ１２３！？＃＄％
中文字符测试，没有空格。这是一个简单的句子。
繁體中文測試：「你好，世界」《書名》〈篇名〉——破折號……
混合English和中文text以及123数字
㐀㐁㒲 𠀀𠀁𠮷 𪜀 𫝀 𫠠 𬺰 豈更車 﨎﨏 丽丸乁 龥 鿿
한국어 텍스트입니다. 조선글 한글날 뷁 쀍
ㄱㄴㄷ ㅏㅑㅓ 각 가 각 ꥠ ힰ ퟋ
Монгол хэл ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ᠌ ꆈꌠꁱꂷ
Ελληνικά με τόνους: Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ὦ ἄνδρες Ἀθηναῖοι
Coptic ⲀⲁⲂⲃ Gothic 𐌰𐌱𐌲 runes ᚠᚢᚦ ogham ᚛ᚑᚌᚐᚋ᚜ cuneiform 𒀀𒁀 hieroglyphs 𓀀𓂀
😀 😃 😄 😁 emoji😂in🤣words ☺️ ☹ ❤️ ♥ ✌🏽 👍🏿 👩‍👩‍👧‍👦 👨🏻‍💻 🏳️‍🌈 🏴‍☠️
🇩🇪🇫🇷🇯🇵 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣2️⃣#️⃣*️⃣ ©️®️™️ 🫠🫡🩷🪿
🧑‍🚀🚀✨ happy🎉🎉🎉!!! ¯\_(ツ)_/¯ (╯°□°）╯︵ ┻━┻ ಠ_ಠ ʕ•ᴥ•ʔ
math: ∀x∈ℝ ∃y: x²+y³≠½·¾÷⅓ ∑∏∫√∞≈≤≥±∓×÷ ℵ₀ ⅷ Ⅷ ⑧ ⒏ ㊇ 𝟠 𝑨𝓑𝕮𝖉 𝛼𝛽
currency: $100 €200 £300 ¥400 ₹500 ₽600 ₿7 ¢ ¤ ﷼ ﹩ ＄
arrows ←↑→↓⇐⇒ box ┌─┐│└┘ blocks ▀▄█░▒▓ braille ⠓⠑⠇⠇⠕ stars ★☆✪ music ♩♪♫♬𝄞𝅘𝅥𝅮
ﷲ ﷴ ﹰﹱ ﺍﺏﺕ ﭐ ﯓ ﵿ
ʰʱʲ ᵃᵇᶜ ₐₑₒ ⁰¹²³ ªº ꟲꟳꟴ 𐞁𐞂 ʷᵒʳᵈ
http://example.com/path?query=value&other=%20#fragment user.name+tag@example.co.uk
C:\Users\name\file.txt /usr/local/bin/x86_64-linux-gnu-gcc-12 --std=c11 -Wall
int main(void) { return printf("%d\n", x += y << 3 | ~z & 0xFFu); } // comment
<html><body class="x">&amp;&lt;&#169;</body></html> {"json": [1, 2.5e-10, null, true]}
#hashtag @mention #日本語 @ユーザー $TICKER ^caret `code` ~tilde |pipe| {brace} [bracket] <angle>
!!! ??? ... --- ___ *** ((( ))) ,,, ;;; ::: "" ''' ``` ~~~ ^^^ && || == != <= >= -> =>
a.b,c;d:e!f?g(h)i[j]k{l}m<n>o"p'q`r~s@t#u$v%w^x&y*z-1_2=3+4|5\6/7
1,234,567.89 1.234.567,89 1 234 567,89 3.14159 1e10 0x1F 0b101 50% 20°C 5′10″ §7 ¶8 №9
2024-01-31T23:59:59.999+01:00 12/31/99 31.12.1999 1st 2nd 3rd 4th 90s '90s
U.S.A. U.K. e.g. i.e. etc. Ph.D. Mr. Mrs. Dr. St. a.m. p.m. C++ C# F# .NET Node.js
state-of-the-art mother-in-law twenty-one co-op re-enter e-mail well–known long—dash minus−sign non‑breaking‐hyphen
supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis antidisestablishmentarianism
hyphen­ated with soft­hyphens and zero​width‌join‍ers and⁠word﻿joiners
[CLS] hello [SEP] world [MASK] [PAD] [UNK] [unused1] [cls] [Mask] [ MASK ] [MASK
[CLS][SEP][MASK]x[MASK]y [MASK][MASK] a[MASK]b [[MASK]] ([MASK]) [MASK]. ##ing ##s # #
<s> hello </s> <mask> <pad> <unk> < mask > <MASK> <mask
<s></s><mask>x<mask>y  <mask>   <mask> a<mask>b <<mask>> (<mask>) <mask>. Ġhello Ġ Ċ
the<mask>quick brown  <mask>  fox<mask> <mask>  jumps   <mask>
newtoken NewToken NEWTOKEN xnewtokenx new-token newtokennewtoken (newtoken)  newtoken
Café CAFÉ café xcaféx café. the CAFÉ token and the café token
stripped   leftstrip   rightstrip   bothstrip   end leftstrip rightstrip bothstrip
oneword oneworder bone oneword_ _oneword oneword1 (oneword) oneword. -oneword- éoneword oneword中
""".strip("\n").split("\n")

# Bytes that are no text, or hardly.
BROKEN = [
    b"", b" ", b"  ", b"\t", b"\n", b"\r\n", b" \t\n\r ", b"\x00", b"a\x00b", b"\x00\x00", b"\x7f", b"a\x7fb",
    b"abc\xff", b"\xffabc", b"a\xffb", b"\xff\xfe\xfd", b"caf\xe9 in Latin-1", b"na\xefve \xabquoted\xbb",
    b"\xc3", b"a\xc3", b"\xc3 b", b"\xe2\x82", b"a\xe2\x82b", b"\xe2\x82 x", b"\xf0\x9f\x98", b"x\xf0\x9f\x98y", b"\xf0\x9f",
    b"\xf0", b"\x80", b"a\x80\x80b", b"\xbf\xbf\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf",
    b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80 surrogates",
    b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xef\xbf\xbd",
    b"a\xef\xbf\xbdb", b"\xef\xbf\xbe\xef\xbf\xbf", b"\xef\xbb\xbfbyte order mark", b"x\xef\xbb\xbfy",
    b"e\xcc", b"e\xcc\x81\xcc", b"\xcc\x81", b"\xcc\x81abc", b" \xcc\x81 abc", b"!\xcc\x81!", b"[MASK]\xcc\x81", b"\xff[MASK]\xff",
    b"<mask>\xff <mask>", b"\xe2\x80<mask>", b"word\xe3\x80\x80<mask>\xe3\x80\x80word", b"\xc2\xa0<mask>\xc2\xa0",
    b"\xe2\x80\xa8line\xe2\x80\xa9separators\xc2\x85next line",
    b"tab\tnew\nline\rreturn\x0bvertical\x0cform", b"  leading", b"trailing  ", b"a  b   c    d",
    b"\n\nx\n\n\ny \n z\n ", b" \n", b"\n ", b"x \n", b"x\n ", b"a\r\nb\r\n", b"don't\n'll 's", b"' s 'x '", b" 's 't", b"\xe3\x80\x80's",
    b"\xc2\xa0x\xc2\xa0\xc2\xa0y", b"x\xe2\x80\x8b y", b"\xe2\x80\x8b", b"\xc2\xad", b"\xe2\x80\x8f\xe2\x80\xabrtl\xe2\x80\xac",
]


def built():
    yield bytes(range(1, 128))
    for c in range(0x20):
        yield b"a%cb %c c" % (c, c)
    for c in range(0x80, 0xA1):
        yield ("x%sy %s z" % (chr(c), chr(c))).encode()
    for c in (0x1680, *range(0x2000, 0x2010), 0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0x180E, 0xFEFF):
        yield ("left%sright %s <mask>%s[MASK]" % ((chr(c),) * 3)).encode()
    for n in (1, 2, 99, 100, 101, 102, 250):
        yield b"a" * n
        yield ("é" * n).encode()
        yield ("e\u0301" * n).encode()
        yield b"a" * n + b"!" + b"b" * n
    yield ("中" * 150).encode()
    yield ("가" * 101).encode()
    yield ("x\u0301" * 60 + " y").encode()
    yield b"0123456789" * 30
    yield b"ab" * 400
    yield b"the" * 300 + b" end"
    yield b" " * 300 + b"x"
    yield b"x" + b"\n" * 100 + b"y"
    yield b"'" * 40 + b"s"
    # marks: reordering, composition, more of them than any buffer holds
    above, below, ring, over = "\u0301", "\u0323", "\u030a", "\u0334"
    for base in ("a", "é", "ệ", "ё", "가", "中", " ", "!", "\U0001d158", "\u0fb2"):
        for marks in (above + below, below + above, above + ring + over, "\u0344" + below, "\u0f71\u0f72", "\u0345" + above,
                      "\u302e" + above, "\U0001d165\U0001d16e" + below, "\u05b8\u05bc", "\u3099\u309a", "\u20d0" + above,
                      "\u0903" + "\u093c"):
            yield ("q%s%sr" % (base, marks)).encode()
    yield ("Z" + "".join(chr(0x300 + i % 0x6F) for i in range(500)) + "!").encode()
    yield ("a" + (below + above) * 40 + "b").encode()
    yield ("a" + above * 63 + below + "b" + above * 64 + below + "c" + above * 65 + below).encode()
    yield ("\u302e\u302f" * 50 + "x" + "\u0323\u302e" * 50).encode()
    yield "\u1100\u1161\u11a8 \u1100\u1161 \u11a8 \uac00\u11a8 \u1100\uac00".encode()
    yield "\u212b \u2126 \u1e9b\u0323 \u0958 \u2adc \u0374 \u037e \u0387 \u1fef \uf900 \ufb1d \U0001d15e \U0002f800".encode()
    yield "\u01c4\u01c5\u01c6 \ufb00 \u2460 \u00bd \u3392 \ufdfa \uff76\uff9e \u2167 \u1d2c \u33ff \u32ff".encode()
    yield "\ue000 \uf8ff \U000f0000 \U0010fffd \ufdd0 \U0001fffe \u0378 \u0530 \U000e0001 \U000e0041".encode()
    yield "\U00011938 \U00011935\U00011930 \u1c89 \ua7cb \ua7dc \U00010d50 \U00016ea0 \u166d \U000111c9 \u1734".encode()


ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", " " * 8, ".,;:!?'\"-()[]{}<>/\\|@#$%^&*_+=~`",
    "".join(map(chr, range(0xA0, 0x250))), "".join(map(chr, range(0x300, 0x370))), "".join(map(chr, range(0x370, 0x400))),
    "".join(map(chr, range(0x400, 0x530))), "".join(map(chr, range(0x590, 0x700))), "".join(map(chr, range(0x900, 0xA00))),
    "".join(map(chr, range(0xE00, 0x1000))), "".join(map(chr, range(0x1100, 0x1200))), "".join(map(chr, range(0x1E00, 0x2000))),
    "".join(map(chr, range(0x2000, 0x2100))), "".join(map(chr, range(0x2100, 0x2400))), "".join(map(chr, range(0x3000, 0x3130))),
    "".join(map(chr, range(0x4E00, 0x4E80))), "".join(map(chr, range(0xAC00, 0xAC80))), "".join(map(chr, range(0xF900, 0xFB50))),
    "".join(map(chr, range(0xFE00, 0xFFFF))), "".join(map(chr, range(0x1F300, 0x1F700))), "".join(map(chr, range(0x1D100, 0x1D200))),
    "\t\n\r\x0b\x0c\x1c\x85\u00a0\u2003\u3000", "\u200d\u200c\ufe0f\u00ad\u200b\ufeff",
]
TOKENS = ["[MASK]", "[SEP]", "<mask>", "</s>", "newtoken", "oneword", "leftstrip", "rightstrip", "bothstrip", "'s", "'ll", " the",
          "ing", "é", "e\u0301", "ß", "İ"]


def made(seed, count):
    rng = random.Random(seed)
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for i in range(count):
        out = []
        kinds = rng.sample(ALPHABETS, rng.randint(1, 5)) + [ALPHABETS[0]]
        for _ in range(rng.randint(1, 40)):
            roll = rng.random()
            if roll < 0.75:
                out.append("".join(rng.choice(rng.choice(kinds)) for _ in range(rng.randint(1, 3))).encode("utf-8", "ignore"))
            elif roll < 0.85:
                out.append(rng.choice(TOKENS).encode())
            elif roll < 0.93:
                out.append(chr(rng.choice(points)).encode())
            elif roll < 0.97 or i % 3:
                out.append(b" ")
            else:
                out.append(bytes(rng.randrange(256) for _ in range(rng.randint(1, 3))))
        yield b"".join(out)


def main():
    lines = [line.encode() for line in HAND] + BROKEN + list(built()) + list(made(20240131, 300))
    out = "".join(texts.escape(line) + "\n" for line in lines)
    assert [texts.unescape(line) for line in out.split("\n")[:-1]] == lines
    sys.stdout.buffer.write(out.encode())


if __name__ == "__main__":
    main()
