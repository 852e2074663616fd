"""
`python -m tests.recording [FILE]`: record the answers of the present version.
"""

import sys
from pathlib import Path

from tests.recording.answers import ANSWERS, recordAll, writeAnswers

answers = recordAll()
writeAnswers(Path(sys.argv[1]) if len(sys.argv) > 1 else ANSWERS, answers)
print(len(answers), "answers")  # noqa: T201
