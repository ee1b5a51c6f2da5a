"""Many at once: each gets its own answer, whole."""

import json
from concurrent.futures import ThreadPoolExecutor

from gateway import schema_format
from streams import check_grammar, content_of

PATH = "/v1/chat/completions"
STREAMS = 8


def test_streams_do_not_mix(gateway):
    """Each stream may only say its own number, so a token in the wrong one is seen."""

    def ask(number):
        schema = {
            "type": "object",
            "properties": {"number": {"enum": [number]}},
            "required": ["number"],
            "additionalProperties": False,
        }
        body = gateway.chat_body(response_format=schema_format(schema), max_tokens=48)
        return gateway.stream(PATH, {**body, "stream_options": {"include_usage": True}})

    numbers = [111_111 * number for number in range(1, STREAMS + 1)]
    with ThreadPoolExecutor(STREAMS) as pool:
        streams = list(pool.map(ask, numbers))
    for number, chunks in zip(numbers, streams, strict=True):
        check_grammar(chunks, choices=1, with_usage=True)
        assert json.loads(content_of(chunks)) == {"number": number}
    assert len({chunks[0]["id"] for chunks in streams}) == STREAMS


def test_streams_and_whole_answers_together(gateway):
    def ask(number):
        if number % 2:
            return content_of(gateway.stream(PATH, gateway.chat_body(max_tokens=8)))
        return gateway.chat(max_tokens=8)["choices"][0]["message"]["content"]

    with ThreadPoolExecutor(STREAMS) as pool:
        answers = list(pool.map(ask, range(STREAMS)))
    # Batched with others, an engine may round otherwise than alone, so the texts are not compared to the letter.
    assert all(answer.strip() for answer in answers), answers
