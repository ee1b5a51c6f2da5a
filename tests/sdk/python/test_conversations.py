"""Conversations with the official client: made, changed, listed, gone on with by responses, synchronous and not."""

import openai
import pytest

from gateway import CHAT


def message(text, role="user"):
    return {"type": "message", "role": role, "content": text}


def texts(client, conversation):
    """Who says what, the oldest first: all pages, which the client follows by itself."""
    items = client.conversations.items.list(conversation.id, order="asc", limit=2)
    return [(item.role, item.content[0].text) for item in items]


def test_a_conversation(client):
    conversation = client.conversations.create(metadata={"topic": "demo"}, items=[message("Hello!")])
    assert conversation.id.startswith("conv_") and conversation.object == "conversation"
    assert conversation.metadata == {"topic": "demo"}
    assert client.conversations.retrieve(conversation.id) == conversation
    updated = client.conversations.update(conversation.id, metadata={"topic": "other"})
    assert updated.metadata == {"topic": "other"} and updated.created_at == conversation.created_at
    deleted = client.conversations.delete(conversation.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (conversation.id, "conversation.deleted", True)
    with pytest.raises(openai.NotFoundError) as caught:
        client.conversations.retrieve(conversation.id)
    assert caught.value.body["message"] == f"Conversation with id '{conversation.id}' not found."


def test_items(client):
    conversation = client.conversations.create()
    assert texts(client, conversation) == []
    added = client.conversations.items.create(conversation.id, items=[message("one"), message("two", "assistant"), message("three")])
    assert [item.content[0].text for item in added.data] == ["one", "two", "three"]
    assert texts(client, conversation) == [("user", "one"), ("assistant", "two"), ("user", "three")]
    newest = client.conversations.items.list(conversation.id, limit=1, include=["message.output_text.logprobs"])
    assert newest.data[0] == added.data[2] and newest.has_more
    assert client.conversations.items.retrieve(added.data[1].id, conversation_id=conversation.id) == added.data[1]
    assert client.conversations.items.delete(added.data[1].id, conversation_id=conversation.id).id == conversation.id
    assert texts(client, conversation) == [("user", "one"), ("user", "three")]
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(added.data[1].id, conversation_id=conversation.id)


def test_responses_of_a_conversation(client):
    conversation = client.conversations.create(items=[message("I am Ann.")])
    first = client.responses.create(model=CHAT, conversation=conversation.id, input="[[say:Hello Ann]]")
    assert first.conversation.id == conversation.id and first.output_text == "Hello Ann"
    with client.responses.stream(model=CHAT, conversation={"id": conversation.id}, input="[[say:You are Ann]]") as stream:
        second = stream.until_done().get_final_response()
    assert second.conversation.id == conversation.id
    assert second.usage.input_tokens > first.usage.input_tokens
    assert texts(client, conversation) == [
        ("user", "I am Ann."),
        ("user", "[[say:Hello Ann]]"),
        ("assistant", "Hello Ann"),
        ("user", "[[say:You are Ann]]"),
        ("assistant", "You are Ann"),
    ]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=CHAT, conversation=conversation.id, previous_response_id=first.id, input="x")
    assert caught.value.code == "mutually_exclusive_parameters"
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=CHAT, conversation="conv_" + "0" * 50, input="x")


@pytest.mark.anyio
async def test_without_waiting(aclient):
    conversation = await aclient.conversations.create(items=[message("one")])
    response = await aclient.responses.create(model=CHAT, conversation=conversation.id, input="[[say:two]]", store=False)
    assert response.output_text == "two"
    items = [item async for item in aclient.conversations.items.list(conversation.id)]
    assert [item.content[0].text for item in items] == ["two", "[[say:two]]", "one"]
    await aclient.conversations.delete(conversation.id)
