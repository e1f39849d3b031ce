"""What is asked: pure values, and the key that names them.

`Request` is the value; `Message`, its parts and `Settings` are what it is made of; `user_message` makes one from
what a user typed. Nothing in this room opens a socket or knows an endpoint.
"""

from __future__ import annotations

from qwennb.request.blank import AFTER, BEFORE, BLANK_PROMPTS, NOTHING, blank_requests
from qwennb.request.blocks import (
    GROUPS,
    MATCHES,
    ORDER,
    Block,
    groups_schema,
    matches_schema,
    order_schema,
    read_blocks,
    write_blocks,
)
from qwennb.request.canonical import KEY_VERSION, canonical_json, key_of
from qwennb.request.cite import (
    NO_QUOTES_OF_CHOICES,
    CitedSchema,
    Claim,
    claims_in,
    parse_cited,
    values_in,
    without_words,
)
from qwennb.request.compose import add_words, part_of, user_message
from qwennb.request.document import Document, Pdf
from qwennb.request.folder import read_files
from qwennb.request.labels import plain_label, read_choices, read_labels
from qwennb.request.media import Image, Medium, Video
from qwennb.request.option_types import (
    Check,
    NumberCheck,
    check_characters,
    check_options,
    file_path,
    flag,
    folder,
    number,
    one_of,
    several,
    text,
)
from qwennb.request.recognise import media_from_json, recognise, recognise_under
from qwennb.request.request import Message, Part, Request, Text, merge_texts
from qwennb.request.schema import Schema
from qwennb.request.settings import SETTING_CHECKS, SETTINGS, SettingFields, Settings
from qwennb.request.source import MOST_PIXELS, file_name, look_elsewhere, read_file
from qwennb.request.strict_json import parse_json
from qwennb.request.template import Hole, Template
from qwennb.request.tool import Tool, ToolCall
from qwennb.request.wire_schema import DECIMAL, decimal_digits, read_duration
