// Anthropic's client in front of engines that answer as they are told.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import { connect, texts } from './anthropic_client.mjs';
import { AWAY, CHAT, failure, say } from './gateway.mjs';

const client = connect();
const ask = (more) => client.messages.create({ model: CHAT, max_tokens: 500, ...more });

test('texts are the engine\'s', async () => {
  const message = await ask({ messages: say('Grüße, 世界 🎉') });
  assert.deepEqual(texts(message), ['Grüße, 世界 🎉']);
  assert.match(message._request_id, /^req_/);
});

test('a stop sequence, streamed', async () => {
  const asked = { model: CHAT, max_tokens: 50, messages: say('one STOP two'), stop_sequences: ['STOP'] };
  const final = await client.messages.stream(asked).finalMessage();
  assert.deepEqual([texts(final), final.stop_reason, final.stop_sequence], [['one '], 'stop_sequence', 'STOP']);
});

test('thoughts and calls of the model\'s own, streamed', async () => {
  const call = '<tool_call>\n{"name": "f", "arguments": {"a": [1, "x"]}}\n</tool_call>';
  const tools = [{ name: 'f', input_schema: { type: 'object', properties: { a: { type: 'array' } } } }];
  const asked = {
    model: 'sdk-agent',
    max_tokens: 2000,
    messages: say(`<think>hm</think>I look.\n${call}`),
    tools,
    thinking: { type: 'enabled', budget_tokens: 1024 },
  };
  const { content, stop_reason } = await client.messages.stream(asked).finalMessage();
  assert.deepEqual(content.map(({ type }) => type), ['thinking', 'text', 'tool_use']);
  assert.deepEqual([content[0].thinking, content[2].input, stop_reason], ['hm', { a: [1, 'x'] }, 'tool_use']);
});

test('errors have types', async () => {
  assert.ok((await failure(ask({ model: 'nobody', messages: say('x') }))) instanceof Anthropic.NotFoundError);
  assert.ok((await failure(connect({ apiKey: 'no' }).messages.create({ model: CHAT, max_tokens: 5, messages: say('x') }))) instanceof Anthropic.AuthenticationError);
  const away = await failure(ask({ model: AWAY, messages: say('x') }));
  assert.deepEqual([away.status, away.error.error.type], [529, 'overloaded_error']);
});
