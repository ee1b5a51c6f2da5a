"""GET /v1/models and /v1/models/{id}."""

import openai
import pytest


def test_list(client, gateway):
    models = list(client.models.list())
    assert gateway.model in [model.id for model in models]
    assert all(model.object == "model" for model in models)


def test_entries_have_exactly_the_four_keys(gateway):
    listing = gateway.get("/v1/models").json()
    assert listing.keys() == {"object", "data"} and listing["object"] == "list" and listing["data"]
    for model in listing["data"]:
        assert model.keys() == {"id", "object", "created", "owned_by"}
        assert isinstance(model["created"], int) and isinstance(model["owned_by"], str)


def test_retrieve(client, gateway):
    model = client.models.retrieve(gateway.model)
    assert (model.id, model.object) == (gateway.model, "model")


@pytest.mark.parametrize("name", ["no-such-model", "org/no-such-model"])
def test_unknown(client, name):
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve(name)
    error = caught.value
    assert (error.type, error.param, error.code) == ("invalid_request_error", "model", "model_not_found")
    assert error.body["message"] == f"The model '{name}' does not exist"


def test_unknown_with_a_raw_slash(gateway):
    response = gateway.get("/v1/models/org/no-such-model")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
