"""instructor on any model: typed answers by tools, by schemas and by JSON, whole and in parts."""

from typing import Literal

import instructor
import openai
import pydantic
import pytest

from gateway import BASE_URL, CHAT, KEY

ASKED = {
    "model": CHAT,
    "messages": [{"role": "user", "content": "What is the capital of France? Answer in json."}],
    "temperature": 0,
    "max_tokens": 100,
}


class City(pydantic.BaseModel, extra="forbid"):
    """Without a last word, a small model would go on telling of it for ever."""

    name: Literal["Paris", "Rome"]
    capital: bool


def connect(mode):
    client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0, timeout=30)
    return instructor.from_openai(client, mode=mode)


MODES = [instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT, instructor.Mode.JSON_SCHEMA]


@pytest.mark.parametrize("mode", MODES, ids=[mode.name for mode in MODES])
def test_a_typed_answer(mode):
    assert isinstance(connect(mode).chat.completions.create(**ASKED, response_model=City, max_retries=1), City)


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA], ids=["TOOLS", "JSON_SCHEMA"])
def test_a_typed_answer_in_parts(mode):
    *_, last = connect(mode).chat.completions.create_partial(**ASKED, response_model=City)
    City.model_validate(last.model_dump())
