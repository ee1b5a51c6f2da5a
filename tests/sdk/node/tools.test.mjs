// Tools, where the request forces a call: named or required. And the functions that were there before tools.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { zodFunction } from 'openai/helpers/zod';
import { z } from 'zod';

import { all, CALL_ID, CHAT, client, user } from './gateway.mjs';

const Weather = z.object({ city: z.string(), unit: z.enum(['celsius', 'kelvin']) });
const weather = zodFunction({ name: 'get_weather', parameters: Weather });
const time = zodFunction({ name: 'get_time', parameters: z.object({ zone: z.string() }) });
const named = { type: 'function', function: { name: 'get_weather' } };
const asked = { model: CHAT, messages: user('Is it warm?') };

// A named call ends as an answer does, a required one as a call does.
const FORCED = [
  ['named', { tools: [weather, time], tool_choice: named }, 'stop'],
  ['required', { tools: [weather], tool_choice: 'required' }, 'tool_calls'],
];

for (const [name, forced, finish] of FORCED) {
  test(`${name}: a call`, async () => {
    const { choices } = await client.chat.completions.create({ ...asked, ...forced });
    assert.equal(choices[0].finish_reason, finish);
    assert.equal(choices[0].message.content, null);
    for (const call of choices[0].message.tool_calls) {
      assert.match(call.id, CALL_ID);
      assert.equal(call.type, 'function');
      assert.equal(call.function.name, 'get_weather');
      Weather.parse(JSON.parse(call.function.arguments));
    }
  });

  test(`${name}: parsed arguments`, async () => {
    const { choices } = await client.chat.completions.parse({ ...asked, ...forced });
    Weather.parse(choices[0].message.tool_calls[0].function.parsed_arguments);
  });

  test(`${name}: streamed`, async () => {
    const chunks = await all(await client.chat.completions.create({ ...asked, ...forced, stream: true }));
    const choices = chunks.map((chunk) => chunk.choices[0]);
    assert.equal(choices[0].delta.role, 'assistant');
    assert.equal(choices[0].delta.content, null);
    assert.equal(choices.at(-1).finish_reason, finish);
    const deltas = choices.flatMap((choice) => choice.delta.tool_calls ?? []);
    const opened = deltas.filter((delta) => delta.id);
    assert.deepEqual(opened.map((delta) => delta.index), [...opened.keys()]);
    assert.ok(opened.length >= 1);
    for (const start of opened) {
      const mine = deltas.filter((delta) => delta.index === start.index);
      assert.deepEqual(mine.map((delta) => delta.function.name).filter(Boolean), ['get_weather']);
      Weather.parse(JSON.parse(mine.map((delta) => delta.function.arguments ?? '').join('')));
    }
  });

  test(`${name}: the stream helper`, async () => {
    const stream = client.chat.completions.stream({ ...asked, ...forced });
    const pieces = [];
    const done = [];
    stream.on('tool_calls.function.arguments.delta', (event) => event.index === 0 && pieces.push(event.arguments_delta));
    stream.on('tool_calls.function.arguments.done', (event) => done.push(event));
    const { choices } = await stream.finalChatCompletion();
    assert.equal(done[0].name, 'get_weather');
    assert.equal(pieces.join(''), done[0].arguments);
    Weather.parse(done[0].parsed_arguments);
    const [call] = choices[0].message.tool_calls;
    assert.match(call.id, CALL_ID);
    assert.deepEqual(call.function.parsed_arguments, done[0].parsed_arguments);
  });
}

for (const stream of [false, true]) {
  test(`runTools calls a named function once${stream ? ', streamed' : ''}`, async () => {
    const called = [];
    const tool = zodFunction({ name: 'get_weather', parameters: Weather, function: (args) => called.push(args) && 'warm' });
    const runner = client.chat.completions.runTools({ ...asked, tools: [tool], tool_choice: named, stream });
    await runner.done();
    assert.equal(called.length, 1);
    Weather.parse(called[0]);
    assert.deepEqual(runner.messages.map((message) => message.role), ['user', 'assistant', 'tool']);
    const [, assistant, result] = runner.messages;
    assert.equal(result.tool_call_id, assistant.tool_calls[0].id);
    assert.equal(result.content, 'warm');
  });
}

test('runTools with an answer that calls nothing', async () => {
  const tool = zodFunction({ name: 'get_weather', parameters: Weather, function: () => assert.fail('not asked for') });
  const runner = client.chat.completions.runTools({ model: CHAT, messages: user('[[say:No need]]'), tools: [tool] });
  assert.equal(await runner.finalContent(), 'No need');
});

test('a legacy function', async () => {
  const functions = [
    { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
  ];
  const legacy = { ...asked, functions, function_call: { name: 'get_weather' } };
  const { choices } = await client.chat.completions.create(legacy);
  assert.equal(choices[0].message.function_call.name, 'get_weather');
  // Unlike a named tool.
  assert.equal(choices[0].finish_reason, 'function_call');
  assert.deepEqual(Object.keys(JSON.parse(choices[0].message.function_call.arguments)), ['city']);
  const final = await client.chat.completions.stream(legacy).finalChatCompletion();
  assert.deepEqual(final.choices[0].message.function_call, choices[0].message.function_call);
});
