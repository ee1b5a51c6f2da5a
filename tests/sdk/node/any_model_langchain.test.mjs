// LangChain's JavaScript on any model: chats, streams, their events, typed answers, forced calls, embeddings.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { z } from 'zod';

import { BASE_URL, CHAT, EMBEDDING, all } from './gateway.mjs';

const configuration = { baseURL: BASE_URL };
const apiKey = process.env.CLOUDACH_API_KEY;
const chat = new ChatOpenAI({ model: CHAT, apiKey, configuration, temperature: 0, maxTokens: 60, maxRetries: 0 });
const question = 'What is the capital of France?';
const City = z.object({ name: z.enum(['Paris', 'Rome']), capital: z.boolean() });

test('invoke, and the same streamed', async () => {
  const whole = await chat.invoke(question);
  assert.ok(whole.text.length > 0 && whole.usage_metadata.output_tokens > 0);
  const chunks = await all(await chat.stream(question));
  assert.equal(chunks.map(({ text }) => text).join(''), whole.text);
  const sum = chunks.reduce((sum, chunk) => sum.concat(chunk));
  assert.equal(sum.usage_metadata.output_tokens, whole.usage_metadata.output_tokens);
});

test('events', async () => {
  const events = await all(chat.streamEvents(question, { version: 'v2' }));
  const names = events.map(({ event }) => event);
  assert.deepEqual([names.at(0), names.at(-1)], ['on_chat_model_start', 'on_chat_model_end']);
  assert.ok(names.slice(1, -1).every((name) => name === 'on_chat_model_stream') && names.length > 2);
});

for (const method of ['jsonSchema', 'functionCalling']) {
  test(`a typed answer by ${method}`, async () => {
    City.parse(await chat.withStructuredOutput(City, { method, strict: true, name: 'city' }).invoke(question));
  });
}

test('a forced call, whole and streamed', async () => {
  const tell_city = tool(({ name }) => `It is ${name}.`, { name: 'tell_city', description: 'Tells a city.', schema: City });
  const bound = chat.bindTools([tell_city], { tool_choice: 'tell_city', strict: true });
  const sum = (await all(await bound.stream(question))).reduce((sum, chunk) => sum.concat(chunk));
  for (const { tool_calls } of [await bound.invoke(question), sum]) {
    assert.deepEqual(tool_calls.map(({ name }) => name), ['tell_city']);
    assert.match(await tell_city.invoke(tool_calls[0].args), /^It is /);
  }
});

test('embeddings', async () => {
  const embeddings = new OpenAIEmbeddings({ model: EMBEDDING, apiKey, configuration, maxRetries: 0 });
  const [one, two] = await embeddings.embedDocuments(['a cat', 'a dog']);
  assert.ok(one.length > 100 && one.length === two.length);
});
