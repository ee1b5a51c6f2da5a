"""models.list and models.retrieve."""

import openai
import pytest

from gateway import AWAY, CHAT, EMBEDDING, OWN


def test_list(client):
    page = client.models.list()
    assert page.object == "list"
    assert {CHAT, EMBEDDING, OWN, AWAY} <= {model.id for model in page}
    for model in page:
        assert model.model_fields_set == {"id", "object", "created", "owned_by"}
        assert model.object == "model"


@pytest.mark.parametrize("name", [CHAT, OWN], ids=["plain", "with a slash"])
def test_retrieve(client, name):
    model = client.models.retrieve(name)
    assert (model.id, model.owned_by) == (name, "acme")
    assert model in list(client.models.list())


def test_created(client):
    assert client.models.retrieve(CHAT).created == 1_750_000_000


def test_a_slash_as_it_is(client):
    """Some clients do not encode it."""
    assert client.get(f"/models/{OWN}", cast_to=object)["id"] == OWN


@pytest.mark.parametrize("name", ["nope", "acme/nope"])
def test_unknown(client, name):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve(name)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.body["message"] == f"The model '{name}' does not exist"


def test_a_model_with_a_slash_answers(client):
    completion = client.chat.completions.create(model=OWN, messages=[{"role": "user", "content": "[[say:Here]]"}])
    assert (completion.model, completion.choices[0].message.content) == (OWN, "Here")
