// What holds whatever the model says: these tests also run in front of a real one.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BadRequestError } from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { all, CALL_ID, CHAT, client, EMBEDDING, failure, REQUEST_ID, textOf, user } from './gateway.mjs';

const City = z.object({ name: z.enum(['Paris', 'Rome']), capital: z.boolean() });
// The real model answers in one short sentence, and stops.
const messages = [{ role: 'system', content: 'You are a helpful assistant.' }, ...user('What is the capital of France?')];
const asked = { model: CHAT, messages, temperature: 0, seed: 7, max_tokens: 100 };
const tools = [zodFunction({ name: 'tell_city', parameters: City })];

test('create, and the same streamed', async () => {
  const whole = await client.chat.completions.create(asked);
  assert.match(whole._request_id, REQUEST_ID);
  assert.ok(whole.choices[0].message.content.length > 0);
  const chunks = await all(await client.chat.completions.create({ ...asked, stream: true }));
  assert.equal(textOf(chunks), whole.choices[0].message.content);
  assert.equal(chunks.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
  const final = await client.chat.completions.stream(asked).finalChatCompletion();
  assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
});

test('parse, whole and streamed', async () => {
  const typed = { ...asked, response_format: zodResponseFormat(City, 'city') };
  City.parse((await client.chat.completions.parse(typed)).choices[0].message.parsed);
  City.parse((await client.chat.completions.stream(typed).finalChatCompletion()).choices[0].message.parsed);
});

test('a named tool', async () => {
  const tool_choice = { type: 'function', function: { name: 'tell_city' } };
  const { choices } = await client.chat.completions.parse({ ...asked, tools, tool_choice });
  assert.match(choices[0].message.tool_calls[0].id, CALL_ID);
  City.parse(choices[0].message.tool_calls[0].function.parsed_arguments);
});

test('a required tool, streamed', async () => {
  const stream = client.chat.completions.stream({ ...asked, tools, tool_choice: 'required', parallel_tool_calls: false });
  const { choices } = await stream.finalChatCompletion();
  assert.equal(choices[0].finish_reason, 'tool_calls');
  City.parse(choices[0].message.tool_calls[0].function.parsed_arguments);
});

test('embeddings', async () => {
  const { data } = await client.embeddings.create({ model: EMBEDDING, input: ['a cat', 'a dog'] });
  const plain = await client.embeddings.create({ model: EMBEDDING, input: 'a cat', encoding_format: 'float' });
  const product = data[0].embedding.reduce((sum, number, place) => sum + number * plain.data[0].embedding[place], 0);
  assert.ok(Math.abs(product - 1) < 1e-2, `${product}`);
  assert.equal(data.length, 2);
});

test('an error', async () => {
  const error = await failure(client.chat.completions.create({ ...asked, messages: user('word '.repeat(20_000)) }));
  assert.ok(error instanceof BadRequestError);
  assert.equal(error.code, 'context_length_exceeded');
});
