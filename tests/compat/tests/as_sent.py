"""A recorded answer as OpenAI sent it: with the headers that recorders drop or blank out put back.

That OpenAI does send these headers is not taken from here: `test_headers.py` shows it from the recordings that keep them.
"""

import re
from dataclasses import replace

from compat.contract import Contract
from compat.exchange import Answer, Exchange
from compat.recordings import Recording

# The last is the request id of a proxy on the way.
BLANK = re.compile(r"REDACTED|XXX|<.*>|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PLAUSIBLE = {"filled": "org-recorded", "integer": "17", "duration": "6ms", "request_id": "req_" + "0" * 32}

# Recordings whose answer belongs to another request than the recorded one: made by hand from two (all marked doubtful).
MADE_UP = {
    "162-chat-stream-tool",
    "164-chat-stream-tool",
    "258-completions-stream-n-length",
    "385-responses-reasoning-fcall",
    "411-responses-stream-reasoning",
}
# Its blanking swallowed the full stop behind the key.
SWALLOWED = b"provided: sk-REDACTED You"


def answer(contract: Contract, exchange: Exchange, recording: Recording) -> Answer:
    sent = replace(recording.answer, content=recording.answer.content.replace(SWALLOWED, b"provided: sk-R. You"))
    if exchange.expected.headers is None:
        return sent
    headers = {name: value for name, value in sent.headers.items() if not BLANK.search(value)}
    for name, rule in contract.headers[exchange.expected.headers]["always"].items():
        if name not in headers:
            headers[name] = rule["is"] if "is" in rule else PLAUSIBLE[rule["form"]]
    return replace(sent, headers=headers)
