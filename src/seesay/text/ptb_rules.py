r"""The rules of COCO's tokeniser, over the shape of a caption.

A caption's shape has one ASCII-like character for each of its characters: every rule is then a small pattern, whatever
the script. In a shape, É and é stand for any letter beyond ASCII, \u0300 for a mark, ٠ for a digit, § for a sign that
is a token of its own, \0 for one that vanishes; quotes and dashes stand for their families; ASCII stands for itself.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from string import ascii_letters, digits, printable

# What a character is written as when it is a token of its own.
WRITTEN = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", '"': "''",
    "“": "``", "”": "''", "\x93": "``", "\x94": "''", "«": "``", "»": "''",
    "‘": "`", "’": "'", "‛": "`", "\x91": "`", "\x92": "'", "‹": "`", "›": "'",
    "\x96": "--", "\x97": "--", "–": "--", "—": "--", "―": "--", "\x85": "...", "…": "...",
    "€": "$", "\x80": "$", "₠": "$", "¤": "$", "£": "#", "¢": "cents",
    "¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "\xad": "-",
}  # fmt: skip
_FAMILIES = {
    "’": "’\x92", "‘": "‘‛\x91", "“": "“”«»‹›\x93\x94", "‐": "‐‑\u058a", "‚": "‚„‟",
    "²": "²³¹⁰⁴⁵⁶⁷⁸⁹", "₀": "₀₁₂₃₄₅₆₇₈₉", "٫": "٫٬", "⁄": "⁄", "\xad": "\xad", "\xa0": "\xa0", " ": "\u2028\u2029",
    "§": "".join(sorted(set(WRITTEN) - set(printable) - set("“”«»‹›\x93\x94‘‛\x91’\x92\xad"))),
    "\0": "\0",
}  # fmt: skip
# Where runs of a kind begin and end, for characters that are neither letters nor digits. The reference knows Unicode as
# of 2012 and the marks of some scripts only: the signs of the others vanish.
_MARKS = (
    "2c2-379 384-385 3f6 483-487 55a-55f 591-5bd 5bf 5c1-5c2 5c4-5c5 5c7 615-61a 64b-65e 670 6d6-6fe 70f-7f3 900-903 "
    "93c-94e 951-955 962-963 981-9e3 a01-a4f a81-acf b82-bcd c01-c03 c3e-c56 d3e-d48 e31-e3a e47-e4e eb1-ecd"
)
_KEPT = (
    "a1-f7 37e 387 589 5be 5c0 5c3 5c6 5f3-603 606-60c 614 61b 61e-61f 66a-66d 6d4 700-70d 7f6-7f8 964-965 e3f e4f "
    "1fbd 2016-2023 2030-203b 203e-2042 207a-208e 20a4 2100-214f 2155-215e 2190-2bff 3001-3002 3012 30fb ff01-ffe1 "
    "ffe5-ffe6"
)
_YOUNG = (  # letters that came to Unicode later: they vanish too
    "37f 528-52f 560 588 860-88e 8a1 8ad-8c9 c5a-c5d d54-d5f de6-def e8e-e93 13f5-13fd 16f1-16f8 19b0-19c0 1c80-1cbf "
    "31bb-31bf 4db6-4dbf 9fcd-9fff a698-a69d a794-a79f a7ab-a7f7 a9e0-a9fe ab30-abbf"
)


def _runs(text: str) -> list[int]:
    """Borders of runs, so that a code point is inside one when an odd number of borders is at or before it."""
    ends = ((run.split("-")[0], run.split("-")[-1]) for run in text.split())
    return [border for first, last in ends for border in (int(first, 16), int(last, 16) + 1)]


class Shapes(dict[int, str]):
    """For str.translate: what stands for a character in the shape; learned on demand, for at most 65,536 characters."""

    _kinds = ((_runs(_MARKS), "\u0300"), (_runs(_KEPT), "§"))
    _young = _runs(_YOUNG)

    def __missing__(self, code: int) -> str:
        shape = self._shape(code)
        if code < 0x10000:
            self[code] = shape
        return shape

    def _shape(self, code: int) -> str:
        character = chr(code)
        if code >= 0x10000 or bisect_right(self._young, code) % 2:
            return "\0"
        if character.isalpha():
            return "É" if character.isupper() else "é"
        if character.isdecimal():
            return "٠"
        return next((shape for borders, shape in self._kinds if bisect_right(borders, code) % 2), "\0")


SHAPES = Shapes({ord(character): character for character in map(chr, range(127))})
SHAPES.update({ord(character): family for family, members in _FAMILIES.items() for character in members})

_L = "A-Za-zÉé"
_X = rf"{_L}\u0300\xad"  # what a word is made of
_LETTER = rf"(?:[{_X}]|&[aeiou](?:acute|grave|uml);)"
_WORD = rf"{_LETTER}(?:{_LETTER}|[\d٠])*"
_THING = rf"(?:[{_L}\xad][{_L}\d٠\xad]*|[\d٠][{_L}\d٠]*)"
_ASCII = r"[A-Za-z0-9]"
_END = rf"(?![{_L}\d٠])"
_AP = r"(?:['’]|&apos;)"
_ELIDED = rf"[dlo](?:{_AP}|[`‘])[{_L}\d٠]{{2,}}"  # o'clock, l'eau
_SPACES = r"\0*[ \t\xa0][ \t\xa0\0]*"
_NUMBER = r"[\d٠]*(?:[.,:٫\xad][\d٠]+)+"
_DIGITS = r"[\d٠]{1,4}"

_TITLES = (
    "adj|adm|alex|assoc|asst|attys?|ave|brig|capt|cf|cie|cmdr|col|comdr|cpl|dept|drs?|elec|ft|gen|govs?|hon|insp|invt|jos|"
    "lieut|lt|maj|messrs|mfg|mlle|mme|mrs?|ms|msgr|mt|natl|ph|pres|profs?|pvt|reps?|rev|sens?|sgt|ste?|supt|treas|vs|wm"
)
_ENDING = (
    "ala?|apr|ariz|assn|aug|bhd|bldg|blvd|bros|calif|colo|conn|corp|cos?|ct|dec|ed\\.d|esq|est|etc|ext|feb|fla|fri|ga|inc|"
    "ind|intl|jan|jr|jul|jun|kans?|ky|ltd|mar|md|mich|minn|mon?|mont|neb|nev|nov|oct|okla|penn|ph\\.d|plc|pty|rd|rt|sept?|"
    "seq|sq|sr|sys|tel|tenn|thu(?:rs)?|tues?|univ|va|vt|wed|wis|wyo|"
    "(?-i:A[Zz]|A[Rr][Kk]|D[Ee][Ll]|I[Ll][Ll]|L[Aa]|M[Aa][Ss][Ss]|M[Ii][Ss][Ss]|O[Rr][Ee]|P[Aa]|T[Ee][Xx]|W[Aa][Ss][Hh])"
)
_STARTERS = (  # a capital word that begins a sentence after an acronym: "the U.S. The"
    "A|About|According|After|An|As|At|But|He|Her|Here|However|If|In|It|Last|Many|More|Now|Once|One|Other|Our|She|Since|"
    "So|Some|Such|That|The|Their|Then|There|These|They|This|We|What|When|While|Yet|You"
)
_STARTS = rf"{_SPACES}(?-i:(?=[A-Z]))(?:{_STARTERS})[\s\xa0\0]"
_NAME = r"[A-Za-z][\w:.-]*"
_HOST = r"[^\s\"<>|.!?(){},$'=^:;/\\`\[\]@_\d-][^\s\"<>|.!?(){},$'=^:;/\\`\[\]@_\d-]{0,63}"
_PATH = r"/[^ \t\n\f\r\"<>|()]+[^ \t\n\f\r\"<>|.!?(){},-]"
_GROUP = r"[ \xa0-]"

# A rule: the characters it can begin with ("": any), a token's pattern, the context that must follow it, and how the
# token is written when not as it stands. The longest match, context and all, wins; between equals, the first.
_LETTERS = ascii_letters + "Éé\u0300\xad&"
_THINGS = ascii_letters + digits + "Éé٠\xad"
_RULES = (
    (ascii_letters, rf"(?:{_ENDING})\.", rf"(?:{_SPACES}(?:(?-i:[A-ZÉ])|\n))", "doubled"),
    (ascii_letters, rf"(?:{_ENDING})\.", r"(?s:[^a-z0-9].|.)", ""),
    (ascii_letters, rf"(?:{_TITLES})\.", "", ""),
    (ascii_letters, r"(?:art|ca|figs?|nos?|op|pp)\.", r"[ \xa0]?[\d٠]", ""),
    (ascii_letters, r"[a-z](?:\.[a-z])+\.", _STARTS, "doubled"),
    (ascii_letters, r"[a-z](?:\.[a-z])+\.|[a-z]\.", "", ""),
    (ascii_letters, r"[a-z]", rf"\.{_STARTS}", ""),
    (_THINGS, rf"(?:{_ASCII}+-)+[a-z](?:\.[a-z])+\.(?:-{_ASCII}+)*", "", ""),
    (_THINGS, rf"{_ASCII}+(?:[.,]{_ASCII}*){{1,30}}(?:-[a-z]\.(?:[a-z]\.)+)(?:-{_ASCII}+)*", "", ""),
    ("cC", "can", rf"not(?![{_X}\d٠])", ""),
    ("gwGW", "gon|wan", rf"na(?![{_X}\d٠])", ""),
    ("gG", "got", rf"ta(?![{_X}\d٠])", ""),
    ("lgLG", "lem|gim", rf"me(?![{_X}\d٠])", ""),
    (_LETTERS, _WORD, rf"{_AP}(?:[smd]|re|ve|ll)", ""),
    (_LETTERS, _WORD, "", ""),
    (_THINGS, _THING, "", ""),
    (_THINGS, rf"{_THING}(?:-[{_L}\d٠\xad]+)+", "", ""),
    (_THINGS, rf"[{_L}\d٠]+(?:[-_‐][{_L}\d٠]+)+", "", ""),
    (_THINGS + "\u0300&", rf"(?:{_WORD}|{_THING}(?:[-_‐]{_THING}){{0,30}})\.", r"[,;:]", ""),
    (_LETTERS, rf"{_WORD}\.{_WORD}(?:\.{_WORD})*\.", r"[,;:]", ""),
    (ascii_letters + digits, rf"{_ASCII}+(?:-[a-z]+)*(?:\\?/{_ASCII}+(?:-[a-z]+)*){{1,2}}", "", ""),
    (ascii_letters, r"[a-z\xad]*(?!n)[a-z]", r"n(?:['’`‘]|&apos;)t", ""),
    ("nN", r"n(?:['’]|(?-i:&apos;))t", "", "n't"),
    ("nN", r"n&apos;t", "", ""),
    ("nN", r"n[`‘]t", "", "n`t"),
    ("'’&", rf"{_AP}[smd]", "", "apostrophe"),
    ("'", r"'(?:[smd]|re|ve|ll)", r"[^A-Za-z]", "apostrophe"),
    ("’&", r"(?:’|&apos;)(?:re|ve|ll)", "", "apostrophe"),
    ("'", r"'t", r"(?:is|was)", ""),
    (_THINGS, rf"(?:{_THING}[-_‐]){{0,30}}{_ELIDED}(?:[-_‐](?:{_ELIDED}|{_THING})){{0,30}}", "", ""),
    ("nN", rf"n(?:{_AP}|[`‘])[{_L}]{{2,}}", "", ""),
    (ascii_letters, rf"(?-i:[A-HJ-XZ])(?:{_AP}|[`‘])[{_L}]{{2,}}", "", ""),
    (ascii_letters + "Éé", rf"[{_L}]*[aeiouy](?<=[{_L}].)(?:{_AP}|[`‘])(?:[aeiou]|(?-i:[A-Z]))[{_L}]*", "", ""),
    (ascii_letters, rf"(?:c{_AP}mon|s{_AP}mores|e{_AP}er|cap{_AP}n|nat{_AP}l|cont{_AP}d|c{_AP}est)", "", ""),
    ("djlDJL", rf"[djl]{_AP}", "", ""),
    ("yY", rf"y{_AP}", rf"[{_L}]{{2}}", ""),
    (ascii_letters, rf"(?:ol|dunkin|somethin){_AP}", "", ""),
    ("'’&", rf"{_AP}(?:n{_AP}|em|till?|cause)", "", ""),
    ("'", r"'n", r"[\s\xa0\0]", ""),
    ("’&", r"(?:’|&apos;)n", "", ""),
    ("'’&", rf"{_AP}[2-9]0s", "", ""),
    ("'’", r"['’]\d\d", r"[\s\xa0\0]", ""),
    ("'", r"'", r"[a-z][^\s]", "`"),
    (digits + "٠.,:٫\xad+-", rf"[-+]?{_NUMBER}", "", ""),
    ("+-", r"[-+][\d٠]+", "", ""),
    (digits + "٠", rf"(?:{_DIGITS}[- \xa0])?{_DIGITS}(?:\\?/|⁄){_DIGITS}", "", "spaced"),
    (digits, r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}", "", ""),
    (_THINGS, rf"{_ASCII}+(?:[.,]{_ASCII}*){{1,30}}(?:-{_ASCII}+)+", "", ""),
    (_THINGS, rf"{_ASCII}+(?:[.,]{_ASCII}*){{1,30}}(?:-{_ASCII}+)+\.", "[,;:]", ""),
    (
        digits + "(+",
        rf"(?:\(\d{{2,3}}\)[ \xa0]?|\+?(?:\d{{2,4}}{_GROUP})?\d{{2,4}}{_GROUP})\d{{3,4}}{_GROUP}?\d{{3,5}}",
        "",
        "spaced",
    ),
    (ascii_letters, r"(?-i:[A-Z]+(?:&(?i:amp;)?[A-Z]+)+)", "", ""),
    (_LETTERS, rf"{_WORD}(?:[.!?]{_WORD})+", "", ""),
    (
        _THINGS,
        rf"{_THING}(?:\.{_THING}){{0,30}}\.(?:bat|bmp|c|cgi|class|cpp|dll|docx?|exe|gif|gz|h|html?|jar|java|jpe?g|mov|mp3|pdf|php|pl|"
        r"png|ppt|ps|py|sql|tar|txt|wav|x|xml|zip)",
        _END,
        "",
    ),
    ("hH", r"https?://[^ \t\n\f\r\"<>|(){}]+[^ \t\n\f\r\"<>|.!?(){},-]", "", ""),
    ("wW", rf"www\.(?:[^ \t\n\f\r\"`<>|.!?(){{}},/]{{1,99}}\.){{1,9}}[a-z]{{2,4}}(?:{_PATH})?", "", ""),
    ("wW", rf"www\.(?:[^ \t\n\f\r\"`<>|.!?(){{}},]{{1,99}}\.){{1,9}}[a-z]{{2,4}}(?:{_PATH})?", "", ""),
    ("", rf"{_HOST}(?:\.{_HOST}){{0,9}}\.(?:com|net|org|edu)(?:{_PATH})?", "", ""),
    (
        ascii_letters + digits + "<",
        r"<?[a-z0-9][^\s\"<>|(){}]{0,200}@(?:[^\s\"<>|().{}\xa0]+\.)*[^\s\"<>|().{}\xa0]+>?",
        "",
        "",
    ),
    ("@", r"@[a-z_]\w*|@{2,}", "", ""),
    ("#", rf"#[{_X}]+|#{{2,}}", "", ""),
    ("cCfF", r"[cf]#|c\+\+", "", ""),
    ("<", rf"<{_NAME}(?: +{_NAME}(?: *= *(?:\"[^\"]{{0,500}}\"|'[^']{{0,500}}'))?)* */? *>|</{_NAME} *>", "", "spaced"),
    ("<", r"<[!?][a-z-][^>]{0,500}>", "", "spaced"),
    ("&", r"&(?:amp|lt|gt|nbsp|[mn]dash|(?-i:MD|quot|apos));", "", "entity"),
    ("&", r"&#\d+;|&(?:quot|apos|(?-i:UR|LR|QC|QL|QR|odq|cdq|HT|TL));", "", ""),
    ("<>:;=", r"[<>]?(?-i:[:;=][-o*']?[][()DdPpO|\\@{])", r"(?![A-Za-z0-9])", "bracketed"),
    ("'<>=^~x-", r"(?-i:[x=~<>'^-]_[x=~<>'^-])", "", ""),
    ("(", r"\((?-i:[x=~<>'^-][_.]?[x=~<>'^-])\)", "", "bracketed"),
    (".", r"\.{3,5}|\.(?: \.){2,4}", "", "..."),
    ("-", r"-{5,}|-[lr][rsc]b-", "", ""),
    ("-", r"-{2,4}", "", "--"),
    ("!?", r"[!?]+", "", ""),
    ("_", r"_+", "", ""),
    ("*", r"\*+", "", ""),
    ("\\", r"\\\*", "", ""),
    (ascii_letters, r"(?-i:[A-Z]+\$)", "", ""),
    ("'", r"''", "", ""),
    ("‘’“`‚", r"[‘’“`‚]{1,2}", "", "quotes"),
    ("²₀", r"²+|₀+", "", ""),
    ("<>", r"<<|>>", "", ""),
    ('"&', r"\"|(?-i:&quot;)", r"[A-Za-z0-9$]", "``"),
)  # fmt: skip


ABBREVIATION = re.compile(rf"(?:{_ENDING}|{_TITLES}|art|ca|figs?|nos?|op|pp)\.", re.IGNORECASE)


def rules_for(first: str) -> list[tuple[re.Pattern[str], str]]:
    """The rules that can begin with this character of a shape, in order, each with how its tokens are written."""
    return [
        (re.compile(f"({token})(?:{context})", re.IGNORECASE | re.ASCII), written)
        for begins, token, context, written in _RULES
        if not begins or first in begins
    ]
