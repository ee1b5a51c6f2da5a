"""chat.completions.parse with Pydantic models. What is not ordered is the smallest value that fits the schema."""

import enum
from typing import Literal, Optional, Union

import openai
import pydantic
import pytest

from gateway import CHAT, say, user


class Person(pydantic.BaseModel):
    name: str
    age: int


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Wheel(pydantic.BaseModel):
    size: float


class Cart(pydantic.BaseModel):
    """Whatever Pydantic turns into schemas: references, enums, unions, optional and nested ones."""

    owner: Person
    colour: Colour
    kind: Literal["hand", "horse"]
    wheels: list[Wheel]
    note: Optional[str]
    load: Union[Wheel, None]
    licensed: bool


def test_parsed(client):
    completion = client.chat.completions.parse(
        model=CHAT, messages=say('{"name": "Ada", "age": 36}'), response_format=Person
    )
    message = completion.choices[0].message
    assert message.parsed == Person(name="Ada", age=36)
    assert message.refusal is None and completion.choices[0].finish_reason == "stop"


def test_the_engine_follows_the_schema(client):
    completion = client.chat.completions.parse(model=CHAT, messages=user("A cart, please."), response_format=Cart)
    cart = completion.choices[0].message.parsed
    assert isinstance(cart, Cart)
    assert isinstance(cart.colour, Colour) and cart.kind in ("hand", "horse") and isinstance(cart.owner, Person)


def test_every_choice_is_parsed(client):
    completion = client.chat.completions.parse(
        model=CHAT, messages=user("A person, please."), response_format=Person, n=2
    )
    assert [type(choice.message.parsed) for choice in completion.choices] == [Person, Person]


def test_without_a_type(client):
    message = client.chat.completions.parse(model=CHAT, messages=say("Just text")).choices[0].message
    assert (message.content, message.parsed) == ("Just text", None)


def test_cut_short(client):
    with pytest.raises(openai.LengthFinishReasonError) as caught:
        client.chat.completions.parse(
            model=CHAT, messages=say('{"name": "Ada", "age": 36}'), response_format=Person, max_tokens=1
        )
    [choice] = caught.value.completion.choices
    assert choice.finish_reason == "length"
    assert caught.value.completion.usage.completion_tokens >= 1


class Odd(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(json_schema_extra={"properties": {"x": {"type": "foo"}}})
    x: int


def test_a_schema_that_is_none(client):
    """Refused before anything is generated, and named."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.parse(model=CHAT, messages=user("x"), response_format=Odd)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param and caught.value.param.startswith("response_format")
