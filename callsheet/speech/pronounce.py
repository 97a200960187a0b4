"""How English words are said, as ARPAbet phones: by the CMU dictionary, else as espeak-ng says them.

A word is whatever stands between spaces: `12`, `$5`, `&` and `it's` are words too. Covers American phones, which
the acoustic model of align.py knows; other accents come out as their nearest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from callsheet.speech.espeak import Espeak

Phones = tuple[str, ...]

_ARPABET: Mapping[str, str] = MappingProxyType({
    "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY", "tʃ": "CH", "dʒ": "JH",
    "iː": "IY", "uː": "UW", "ɑː": "AA", "ɔː": "AO", "ɜː": "ER", "əl": "AH L",
    "i": "IY", "u": "UW", "ɪ": "IH", "ᵻ": "IH", "ʊ": "UH", "e": "EH", "ɛ": "EH", "æ": "AE", "a": "AE", "ɑ": "AA",
    "ɒ": "AA", "ɔ": "AO", "o": "OW", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɚ": "ER", "ɝ": "ER", "ɜ": "ER",
    "p": "P", "b": "B", "t": "T", "d": "D", "k": "K", "ɡ": "G", "g": "G", "f": "F", "v": "V", "θ": "TH", "ð": "DH",
    "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH", "h": "HH", "m": "M", "n": "N", "ŋ": "NG", "l": "L", "ɫ": "L",
    "ɹ": "R", "r": "R", "ɾ": "D", "j": "Y", "w": "W", "ʔ": "T", "x": "K", "ç": "HH", "ɬ": "L", "ɲ": "N",
    "y": "UW", "ø": "ER", "œ": "ER", "c": "K", "ɟ": "G", "β": "V", "ɣ": "G", "ʁ": "R",
})
_SOUNDS = re.compile("|".join(sorted(_ARPABET, key=len, reverse=True)))
_APOSTROPHES = str.maketrans("’‘ʼ", "'''")


def pronunciations(words: Sequence[str], dictionary: Path, espeak: Espeak) -> list[tuple[Phones, ...]]:
    """The ways each word can be said; none for what is not said, such as a dash.

    Raises SpeechFailed and EngineUnable when a word is not in the dictionary and espeak-ng does not work.
    """
    known = _looked_up({_plain(word) for word in words}, dictionary)
    unknown = [word for word in dict.fromkeys(words) if not known.get(_plain(word)) or _is_initials(word)]
    heard = dict(zip(unknown, espeak.pronounce(unknown, "en-us"), strict=True)) if unknown else {}
    ways = [(*known.get(_plain(word), ()), *_spelt(heard.get(word, ""))) for word in words]
    return [tuple(dict.fromkeys(each)) for each in ways]


def arpabet(ipa: str) -> Phones:
    """The phones of a text in IPA, without stress. A sound that English has not is left out."""
    return tuple(" ".join(_ARPABET[found] for found in _SOUNDS.findall(_unstressed(ipa))).split())


def _spelt(ipa: str) -> tuple[Phones, ...]:
    phones = arpabet(ipa)
    return (phones,) if phones else ()


def _looked_up(words: set[str], dictionary: Path) -> dict[str, tuple[Phones, ...]]:
    """What a file of lines `word(2) W ER D` has of the words."""
    found: dict[str, tuple[Phones, ...]] = {}
    with dictionary.open(encoding="utf-8") as lines:
        for line in lines:
            name, _, phones = line.partition(" ")
            word = name.partition("(")[0]
            if word in words:
                found[word] = (*found.get(word, ()), tuple(phones.split()))
    return found


def _plain(word: str) -> str:
    """As the dictionary writes it: lower case, without the punctuation around it."""
    return re.sub(r"^[^a-z0-9]+|[^a-z0-9]+$", "", word.translate(_APOSTROPHES).lower()) if word.isprintable() else ""


def _is_initials(word: str) -> bool:
    """Whether it may be spelt letter by letter, though a word is written alike: `US`, `IT`."""
    return 1 < len(_plain(word)) <= 5 and word.isupper()


def _unstressed(ipa: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", ipa) if c not in "ˈˌ" and not unicodedata.combining(c))
