// Responses with OpenAI's client for Node.js: whole and streamed, typed, with tools, gone on from, come back to.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { CHAT, connect } from './gateway.mjs';

const AGENT = 'sdk-agent';
const client = connect();
const City = z.object({ name: z.string(), capital: z.boolean() });
const weather = zodResponsesFunction({ name: 'get_weather', parameters: z.object({ city: z.string() }) });
// What a strict function is called with is the engine's, once it is held to the schema.
const CALL = '[[free:<think>Which tool?</think>Let me see.<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>]]';

test('text, whole and streamed', async () => {
  const asked = { model: CHAT, input: '[[say:Hello there]]' };
  const response = await client.responses.create(asked);
  assert.deepEqual([response.output_text, response.status, response.usage.output_tokens], ['Hello there', 'completed', 2]);
  const events = [];
  for await (const event of await client.responses.create({ ...asked, stream: true })) events.push(event);
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  assert.equal(events.at(-1).response.output[0].content[0].text, 'Hello there');
});

test('the stream helper', async () => {
  const stream = client.responses.stream({ model: AGENT, input: CALL, tools: [weather] });
  const deltas = [];
  stream.on('response.function_call_arguments.delta', (event) => deltas.push(event.delta));
  const final = await stream.finalResponse();
  assert.deepEqual(final.output.map((item) => item.type), ['reasoning', 'message', 'function_call']);
  assert.equal(typeof final.output[2].parsed_arguments.city, 'string');
  assert.equal(deltas.join(''), final.output[2].arguments);
});

test('typed output', async () => {
  const text = { format: zodTextFormat(City, 'city') };
  const response = await client.responses.parse({ model: CHAT, input: 'A city, please.', text });
  City.parse(response.output_parsed);
});

test('a tool over two turns', async () => {
  const called = await client.responses.create({ model: AGENT, input: CALL, tools: [weather] });
  const call = called.output.find((item) => item.type === 'function_call');
  const output = { type: 'function_call_output', call_id: call.call_id, output: '[[say:It is warm.]]' };
  const kept = { model: AGENT, previous_response_id: called.id, input: [output] };
  assert.equal((await client.responses.create(kept)).output_text, 'It is warm.');
  const sent = { model: AGENT, input: [{ role: 'user', content: CALL }, ...called.output, output], store: false };
  assert.equal((await client.responses.create(sent)).output_text, 'It is warm.');
});

test('what is kept', async () => {
  const response = await client.responses.create({ model: CHAT, input: '[[say:Hello]]' });
  assert.equal((await client.responses.retrieve(response.id)).output_text, 'Hello');
  const items = [];
  for await (const item of client.responses.inputItems.list(response.id)) items.push(item);
  assert.equal(items[0].content[0].text, '[[say:Hello]]');
  await client.responses.delete(response.id);
  await assert.rejects(client.responses.retrieve(response.id), OpenAI.NotFoundError);
});

test('a stream that is come back to', async () => {
  const asked = { model: CHAT, input: '[[tokens=30]][[delay=10ms]]', stream: true };
  const seen = [];
  for await (const event of await client.responses.create(asked)) {
    seen.push(event);
    if (seen.length === 9) break;
  }
  const back = { stream: true, starting_after: seen.at(-1).sequence_number };
  for await (const event of await client.responses.retrieve(seen[0].response.id, back)) seen.push(event);
  assert.deepEqual(seen.map((event) => event.sequence_number), [...seen.keys()]);
  assert.equal(seen.at(-1).type, 'response.completed');
});

test('a conversation', async () => {
  const said = (text) => ({ type: 'message', role: 'user', content: text });
  const conversation = await client.conversations.create({ metadata: { topic: 'demo' }, items: [said('I am Ann.')] });
  assert.deepEqual(await client.conversations.retrieve(conversation.id), conversation);
  const asked = { model: CHAT, conversation: conversation.id, input: '[[say:Hello Ann]]' };
  const response = await client.responses.create(asked);
  assert.deepEqual([response.output_text, response.conversation], ['Hello Ann', { id: conversation.id }]);
  for await (const event of await client.responses.create({ ...asked, stream: true, store: false })) {
    if (event.type === 'response.completed') assert.equal(event.response.conversation.id, conversation.id);
  }
  const texts = [];
  for await (const item of client.conversations.items.list(conversation.id, { order: 'asc', limit: 2 })) {
    texts.push(item.content[0].text);
  }
  assert.deepEqual(texts, ['I am Ann.', '[[say:Hello Ann]]', 'Hello Ann', '[[say:Hello Ann]]', 'Hello Ann']);
  const changed = await client.conversations.update(conversation.id, { metadata: { topic: 'other' } });
  assert.equal(changed.metadata.topic, 'other');
  const [first] = (await client.conversations.items.create(conversation.id, { items: [said('one')] })).data;
  assert.deepEqual(await client.conversations.items.retrieve(first.id, { conversation_id: conversation.id }), first);
  await client.conversations.items.delete(first.id, { conversation_id: conversation.id });
  assert.equal((await client.conversations.delete(conversation.id)).deleted, true);
  await assert.rejects(client.conversations.retrieve(conversation.id), OpenAI.NotFoundError);
});
