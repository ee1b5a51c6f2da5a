"""Tools that must be called and answers by a schema, of a model too small to do either by itself: each fits the schema
that was sent, or the schema was refused.

The cases are in constrained/, half of them are streamed. They are asked side by side, since each test is one answer.
"""

import concurrent.futures
import itertools
import json
import pathlib

import jsonschema
import openai
import pytest
import yaml

CASES = pathlib.Path(__file__).with_name("constrained")
TOOLS = yaml.safe_load((CASES / "tools.yaml").read_text())
SCHEMAS = yaml.safe_load((CASES / "schemas.yaml").read_text())

# More than any of these schemas lets a model write; an answer that is cut off was a mistake in the schema.
MAX_TOKENS = 600
# As many as the smallest engine works on at once.
AT_ONCE = 4
# Tools that are offered together.
GROUP = 6


def name(case):
    return case["name"]


def enforced(cases, engine):
    return [case for case in cases if engine not in case.get("refused", {})]


def offered(case):
    function = {key: case[key] for key in ("name", "description", "parameters", "strict") if key in case}
    return {"type": "function", "function": function}


def forced(tools, **more):
    """A request that must be answered by a call."""
    asked = " ".join(case["description"] for case in tools)
    return {
        "messages": [{"role": "user", "content": asked}],
        "tools": [offered(case) for case in tools],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        **more,
    }


def typed(case):
    """A request that must be answered by the schema."""
    wanted = {"name": case["name"], "schema": case["schema"], "strict": case.get("strict", False)}
    return {
        "messages": [{"role": "user", "content": case["asks"]}],
        "response_format": {"type": "json_schema", "json_schema": wanted},
    }


class Asker:
    """Sends requests side by side. What comes is how it ended, the text, and the calls by name and arguments."""

    def __init__(self, client, pool, model):
        self.client, self.pool, self.model = client, pool, model

    def ask_all(self, requests):
        """Every second one is streamed."""
        ways = itertools.cycle([self.whole, self.streamed])
        common = {"model": self.model, "seed": 7, "max_tokens": MAX_TOKENS}
        return [self.pool.submit(way, {**common, **request}) for way, request in zip(ways, requests)]

    def whole(self, request):
        [choice] = self.client.chat.completions.create(**request).choices
        calls = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls or []]
        return choice.finish_reason, choice.message.content or "", calls

    def streamed(self, request):
        content, calls, finish = "", [], None
        for chunk in self.client.chat.completions.create(**request, stream=True):
            [choice] = chunk.choices
            content += choice.delta.content or ""
            for delta in choice.delta.tool_calls or []:
                if delta.id:
                    calls.append([delta.function.name, ""])
                calls[delta.index][1] += delta.function.arguments or ""
            finish = choice.finish_reason or finish
        return finish, content, [tuple(call) for call in calls]


@pytest.fixture(scope="module")
def asker(client, gateway):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        yield Asker(client, pool, gateway.model)
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def required(asker):
    return dict(zip(map(name, TOOLS), asker.ask_all(forced([case]) for case in TOOLS), strict=True))


@pytest.fixture(scope="module")
def answered(asker):
    return dict(zip(map(name, SCHEMAS), asker.ask_all(map(typed, SCHEMAS)), strict=True))


def check(text, schema):
    """That a text is JSON and fits the schema as it was sent, by the draft that the schema names."""
    value = json.loads(text)
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    errors = [f"{error.json_path}: {error.message}" for error in kind(schema).iter_errors(value)]
    assert not errors, f"{errors} in {text}"


def check_refused(outcome, keyword, param):
    with pytest.raises(openai.BadRequestError) as caught:
        outcome.result()
    assert caught.value.type == "invalid_request_error"
    assert keyword in caught.value.message and caught.value.param.startswith(param)


def check_calls(outcome, tools):
    finish, content, calls = outcome.result()
    assert calls and (finish, content) == ("tool_calls", ""), (finish, content, calls)
    for called, arguments in calls:
        [tool] = [case for case in tools if case["name"] == called]
        check(arguments, tool.get("parameters", {"const": {}}))
    return calls


def test_there_are_thirty_of_each():
    for cases in (TOOLS, SCHEMAS):
        assert len([case for case in cases if "refused" not in case]) >= 30
        assert len({case["name"] for case in cases}) == len(cases)


@pytest.mark.parametrize("tool", TOOLS, ids=name)
def test_a_required_tool(required, engine, tool):
    if keyword := tool.get("refused", {}).get(engine.kind):
        check_refused(required[tool["name"]], keyword, "tools")
    else:
        assert len(check_calls(required[tool["name"]], [tool])) == 1


def test_a_tool_among_others(asker, engine):
    tools = enforced(TOOLS, engine.kind)
    groups = [tools[first : first + GROUP] for first in range(0, len(tools), GROUP)]
    for group, outcome in zip(groups, asker.ask_all(map(forced, groups)), strict=True):
        assert len(check_calls(outcome, group)) == 1


def test_calls_of_several_tools(asker):
    tools = [case for case in TOOLS if case["name"] in ("ping", "get_weather", "set_lights")]
    for outcome in asker.ask_all([forced(tools, parallel_tool_calls=True)] * 2):
        check_calls(outcome, tools)


@pytest.mark.parametrize("case", SCHEMAS, ids=name)
def test_an_answer_by_a_schema(answered, engine, case):
    if keyword := case.get("refused", {}).get(engine.kind):
        check_refused(answered[case["name"]], keyword, "response_format")
        return
    finish, content, calls = answered[case["name"]].result()
    assert (finish, calls) == ("stop", []), content
    check(content, case["schema"])
