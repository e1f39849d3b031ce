"""What comes back: pure values, from the chunk to the `Answer`."""

from __future__ import annotations

from qwennb.answer.answer import Answer
from qwennb.answer.choice import choice_logprobs
from qwennb.answer.chunk import CallPiece, Chunk, Draft, Logprob, WebSource
from qwennb.answer.cited import Quote, read_cited, sources_of, tell_found, with_quotes
from qwennb.answer.cut import ends_at_own_limit, own_limit, tell_of_cut, tell_of_cuts
from qwennb.answer.draft import Fold, read_draft, read_form
from qwennb.answer.page import CAP, FORM, MIME, Page, shorten_text, under_way, write_call
from qwennb.answer.usage import Cost, Usage, money, spell_tokens, sum_costs
