"""Bytes -> text, whatever charset they claim. Pure; never raises. The one importer of charset-normalizer.

Names are looked up in a table of our own: Python's `codecs.lookup` tries to import a module for every name a stranger
invents, remembers each failure for ever, and offers codecs (idna, punycode, unicode_escape) that no mail needs.
"""

from __future__ import annotations

from charset_normalizer import from_bytes

_FAMILIES = {
    "utf_8": "utf-8 utf8 unicode-1-1-utf-8",
    "ascii": "us-ascii ascii ansi_x3.4-1968 646 iso646-us",
    # A mail that says Latin-1 and holds 0x80 to 0x9F means windows-1252 (WHATWG Encoding, section 4.2).
    "cp1252": "windows-1252 cp1252 x-cp1252 iso-8859-1 iso8859-1 iso_8859-1 8859-1 latin1 latin-1 l1 ansi",
    "iso8859_2": "iso-8859-2 iso8859-2 latin2",
    "iso8859_3": "iso-8859-3",
    "iso8859_4": "iso-8859-4",
    "iso8859_5": "iso-8859-5",
    "iso8859_6": "iso-8859-6 iso-8859-6-i iso-8859-6-e",
    "iso8859_7": "iso-8859-7",
    "iso8859_8": "iso-8859-8 iso-8859-8-i iso-8859-8-e",
    "cp1254": "windows-1254 cp1254 iso-8859-9 latin5",
    "iso8859_10": "iso-8859-10 latin6",
    "iso8859_13": "iso-8859-13",
    "iso8859_14": "iso-8859-14",
    "iso8859_15": "iso-8859-15 iso8859-15 latin-9 latin9",
    "iso8859_16": "iso-8859-16",
    "cp1250": "windows-1250 cp1250 x-cp1250",
    "cp1251": "windows-1251 cp1251 x-cp1251",
    "cp1253": "windows-1253 cp1253",
    "cp1255": "windows-1255 cp1255",
    "cp1256": "windows-1256 cp1256",
    "cp1257": "windows-1257 cp1257",
    "cp1258": "windows-1258 cp1258",
    "cp874": "windows-874 cp874 tis-620 iso-8859-11",
    "cp437": "cp437 ibm437",
    "cp850": "cp850 ibm850",
    "cp852": "cp852 ibm852",
    "cp858": "cp858 ibm00858",
    "cp866": "cp866 ibm866",
    "mac_roman": "macintosh mac x-mac-roman",
    "koi8_r": "koi8-r",
    "koi8_u": "koi8-u",
    "gb18030": "gb18030 gb2312 gbk cp936 x-gbk euc-cn",
    "hz": "hz-gb-2312",
    "big5hkscs": "big5 big5-hkscs cp950",
    "cp932": "shift_jis shift-jis sjis x-sjis cp932 windows-31j ms_kanji",
    "euc_jp": "euc-jp x-euc-jp",
    "iso2022_jp_2": "iso-2022-jp iso-2022-jp-1 iso-2022-jp-2 csiso2022jp",
    "cp949": "euc-kr ks_c_5601-1987 ks_c_5601 cp949 windows-949 uhc",
    "iso2022_kr": "iso-2022-kr",
    "utf_16": "utf-16",
    "utf_16_le": "utf-16le",
    "utf_16_be": "utf-16be",
    "utf_32": "utf-32",
    "utf_7": "utf-7 unicode-1-1-utf-7",
}
_CODECS = {name: codec for codec, names in _FAMILIES.items() for name in names.split()}

_GUESS_BYTES = 2048
_NON_WESTERN = [
    "cp1251",
    "koi8_r",
    "cp1253",
    "cp1255",
    "cp1256",
    "gb18030",
    "big5",
    "shift_jis",
    "euc_jp",
    "euc_kr",
]
_NON_WESTERN_SHARE = 0.3  # of all bytes; French, German or Polish text stays under 0.15
_NON_WESTERN_BYTES = 6  # at least: "été" is two thirds accents
_ASCII = bytes(range(128))


def codec(charset: str | None) -> str | None:
    """Return Python's name of a declared charset; None when there is none that we know."""
    if not charset:
        return None
    return _CODECS.get(charset.strip(" \t'\"").lower())


def decode(data: bytes, charset: str | None) -> str:
    """Return the text of `data`; bytes that the charset can't hold become U+FFFD."""
    name = codec(charset)
    if name is None or name == "ascii":
        return _guess(data)
    return data.decode(name, "replace")


def decode_word(data: bytes, charset: str | None) -> str:
    """As `decode`, but what has no charset is UTF-8 or windows-1252: a header may hold hundreds of such pieces."""
    name = codec(charset)
    if name is not None and name != "ascii":
        return data.decode(name, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _guess(data: bytes) -> str:
    """UTF-8 when it is; else mostly ASCII means windows-1252; else charset-normalizer decides.

    charset-normalizer alone takes a line of French in Latin-1 for cp775, cp1250 or big5 (3.5.2, measured).
    """
    if data.isascii():
        return data.decode("ascii")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    sample = data[:_GUESS_BYTES]
    high = len(sample.translate(None, _ASCII))
    if high < max(_NON_WESTERN_BYTES, len(sample) * _NON_WESTERN_SHARE):
        return data.decode("cp1252", "replace")
    best = from_bytes(sample, cp_isolation=_NON_WESTERN).best()
    return data.decode(best.encoding if best else "cp1252", "replace")
