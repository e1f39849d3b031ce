"""Certificates: how much of a cheap answer may be trusted, proved from a sample of dear ones. Pure functions, no I/O.

    scores order the rows, best first ─▶ prefixes are tested one after the other on one random sample ─▶ the first that fails ends it

Whoever asks for the dear answers stands outside: `certify` is given a function that tells of some rows whether they are right.
Validity never depends on the scores: they decide how much is certified, not whether the certificate holds.
"""

from qwennb.errors import BadInput

try:
    import numpy
except ImportError:
    raise BadInput(
        'A certificate is computed by numpy, which is not installed. Type: pip install "qwennb[tables]"'
    ) from None

from qwennb.certify.certify import Certificate, certify
from qwennb.certify.marks import marks_of
from qwennb.certify.need import need
from qwennb.certify.trust import Learner, TextFeatures
