"""SPICE, by running the reference where its parts are: it needs Java below 16 and CoreNLP's models, 384 MB.

Nothing here is a substitute: without those parts SPICE is not computed, and the reason is said.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seesay.errors import MissingPart
from seesay.metrics.pairs import Caption, Scores, check_pairs, tokens_of

_NEWEST_JAVA = 15  # later ones close the internals that the reference reaches into


def score(candidates: Mapping[str, Caption], references: Mapping[str, Sequence[Caption]]) -> Scores:
    """SPICE of candidates (texts or tokens), between 0 and 1; the corpus score is the mean.

    Runs the program of the installed pycocoevalcap package. Raises MissingPart, saying what is missing, where it
    cannot, and DataError when the ids differ. Source: Anderson et al. 2016, "SPICE", in the authors' own program.
    """
    check_pairs(candidates, references)
    program, java = _program(), _java()
    pairs = [
        {
            "image_id": picture,
            "test": " ".join(tokens_of(caption)),
            "refs": [" ".join(tokens_of(text)) for text in references[picture]],
        }
        for picture, caption in candidates.items()
    ]
    with tempfile.TemporaryDirectory(prefix="seesay-spice-") as folder:
        given, made = Path(folder) / "in.json", Path(folder) / "out.json"
        given.write_text(json.dumps(pairs), encoding="utf-8")
        command = [java, "-Xmx8G", "-jar", program.name, str(given), "-out", str(made), "-silent"]
        done = subprocess.run(
            command, cwd=program.parent, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode or not made.exists():
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise MissingPart(f"its program failed ({said[:160]}); run 'java -jar {program}' to see more.")
        return read_output(json.loads(made.read_text(encoding="utf-8")), candidates)


def read_output(rows: Sequence[Mapping[str, Any]], candidates: Mapping[str, Any]) -> Scores:
    """The scores in what the program writes; the F measure of all tuples, 0 where it is not a number.

    >>> read_output([{"image_id": "7", "scores": {"All": {"pr": 0.5, "re": 0.25, "f": 0.333}}}], {"7": "a dog"})
    Scores(corpus=0.333, per_id={'7': 0.333}, sums=None)
    """
    found = {str(row["image_id"]): float(row["scores"]["All"]["f"]) for row in rows}
    per_id = {picture: 0.0 if math.isnan(found[picture]) else found[picture] for picture in candidates}
    return Scores(math.fsum(per_id.values()) / len(per_id), per_id)


def _program() -> Path:
    package = importlib.util.find_spec("pycocoevalcap")
    places = package.submodule_search_locations if package else None
    program = Path(next(iter(places))) / "spice" / "spice-1.0.jar" if places else None
    if program is None or not program.exists():
        raise MissingPart("its program is not installed; pip install 'seesay[meteor]' brings it.")
    if len(list((program.parent / "lib").glob("stanford-corenlp-3.6.0*.jar"))) < 2:
        raise MissingPart(
            f"CoreNLP 3.6.0 and its models (384 MB) are not in {program.parent / 'lib'}; put both jars there."
        )
    return program


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise MissingPart(f"there is no Java; install version 8 to {_NEWEST_JAVA}.")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, errors="replace", check=False).stderr
    version = java_version(said)
    if version > _NEWEST_JAVA:
        raise MissingPart(f"Java {version} cannot run its program; put version 8 to {_NEWEST_JAVA} first in PATH.")
    return java


def java_version(said: str) -> int:
    """The major version in what `java -version` says; 0 where it says none.

    >>> java_version('openjdk version "17.0.9" 2023-10-17'), java_version('java version "1.8.0_392"')
    (17, 8)
    """
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0
