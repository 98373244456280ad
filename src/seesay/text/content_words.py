"""Which words of a caption say what a picture shows, and which only hold the sentence together.

Function words are a closed class: languages gain nouns every day, but hardly ever a pronoun. So a list of them serves
any English captions. Words of number from two on stay content, as a picture shows how many; "one" is mostly a pronoun.
"""

from __future__ import annotations

import re

_ARTICLES_AND_DETERMINERS = """
a an the this that these those some any no each every either neither both all another other others such what which
whose one several many much more most few less enough own same
"""
_PRONOUNS = """
i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers herself
it its itself they them their theirs themselves who whom whoever whatever whichever someone somebody something anyone
anybody anything everyone everybody everything nobody nothing none ones
"""
_PREPOSITIONS_AND_PARTICLES = """
aboard about above across after against ahead along alongside amid among amongst apart around as aside at atop away
before behind below beneath beside besides between beyond by despite down during except for from in including inside
into like near nearby of off on onto opposite out outside over past per since through throughout til till to toward
towards under underneath unlike until up upon via with within without
"""
_AUXILIARIES = """
am are be been being is was were do does did doing done has have had having can could may might must shall should will
would ca wo ai ought n't
"""
_CONJUNCTIONS = """
and but or nor so yet for if because although though unless while whilst when whenever where wherever whereas whether
than that then
"""
_OTHERS = """
not there here how why too very also just only even still almost quite rather really perhaps maybe else etc yes
"""
FUNCTION_WORDS = frozenset(
    " ".join(
        (_ARTICLES_AND_DETERMINERS, _PRONOUNS, _PREPOSITIONS_AND_PARTICLES, _AUXILIARIES, _CONJUNCTIONS, _OTHERS)
    ).split()
)
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")  # letters, with a hyphen or an apostrophe between them


def is_content(token: str) -> bool:
    """Whether a token, in lower case as `seesay.text.ptb.tokenize` gives it, names something: of letters, two at least.

    >>> [word for word in ("a", "dog", "in", "the", "t-shirt", "'s", "3", "two", "--") if is_content(word)]
    ['dog', 't-shirt', 'two']
    """
    return len(token) > 1 and token not in FUNCTION_WORDS and _WORD.fullmatch(token) is not None
