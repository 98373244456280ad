"""Settings of a search and the order of what it found; neither needs torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from seesay.decoding import search
from seesay.decoding.settings import METHODS, NEVER, Decoding, Hypothesis, ranked
from seesay.errors import RecipeError, UnknownName
from seesay.text.vocabulary import EOS, PAD


def test_both_searches_share_one_set_of_classes() -> None:
    assert (search.Decoding, search.Hypothesis) == (Decoding, Hypothesis)


def test_neither_settings_nor_arrays_bring_torch_along() -> None:
    program = "import sys, seesay.decoding.settings, seesay.decoding.numpy_search; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("method", "rows"), [("greedy", 1), ("beam", 3), ("sample", 7)])
def test_rows_are_the_sentences_under_way(method: str, rows: int) -> None:
    assert method in METHODS
    assert Decoding(method, beam=3, candidates=7).rows == rows


def test_what_is_out_of_range_or_unknown_is_named() -> None:
    with pytest.raises(RecipeError, match=r"decoding\.beam: received 0; expected a number from 1 to 1,000"):
        Decoding(beam=0)
    with pytest.raises(UnknownName, match="Did you mean 'sample'"):
        Decoding("sampel")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"beam": "3"}, r"decoding\.beam: received '3'; expected a whole number\."),
        ({"beam": 2.5}, r"decoding\.beam: received 2\.5; expected a whole number\."),
        ({"beam": True}, r"decoding\.beam: received True; expected a whole number\."),
        ({"wanted": None}, r"decoding\.wanted: received None; expected a whole number\."),
        ({"temperature": "1"}, r"decoding\.temperature: received '1'; expected a number\."),
        ({"method": ["beam"]}, r"decoding\.method: received \['beam'\]; expected text\."),
        ({"forbidden": ["dog"]}, r"decoding\.forbidden: received \['dog'\]; expected text\."),
        ({"faithful": 1}, r"decoding\.faithful: received 1; expected True or False\."),
    ],
    ids=["text", "fraction", "truth", "none", "text-of-number", "list", "list-of-words", "one"],
)
def test_a_setting_of_another_kind_is_one_line(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=f"^{said}$"):
        Decoding(**setting)


def test_numbers_of_numpy_and_whole_ones_for_others_serve() -> None:
    found = Decoding(beam=np.int64(3), temperature=np.float32(0.5), length_penalty=1)  # type: ignore[arg-type]
    assert (found.beam, found.temperature, found.length_penalty, found.rows) == (3, 0.5, 1, 3)


def test_the_best_is_first_ties_keep_their_order_and_the_impossible_is_left_out() -> None:
    tokens = [[4, EOS, PAD], [5, 6, 7], [8, EOS, PAD], [9, 9, 9]]
    found = ranked([-2.0, -1.0, -2.0, NEVER], [True, False, True, False], tokens)
    assert found == [
        Hypothesis([5, 6, 7], -1.0, False, None),
        Hypothesis([4], -2.0, True, None),
        Hypothesis([8], -2.0, True, None),
    ]


def test_attention_has_a_row_for_each_word_that_is_said() -> None:
    attention = np.arange(12.0).reshape(2, 3, 2)
    short, long = ranked([-1.0, -2.0], [True, False], [[4, EOS, PAD], [5, 6, 7]], attention)
    assert short.attention.tolist() == [[0, 1]]
    assert long.attention.tolist() == [[6, 7], [8, 9], [10, 11]]
