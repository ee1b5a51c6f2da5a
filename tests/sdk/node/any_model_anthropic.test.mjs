// Anthropic's client on any model: these tests also run in front of a real one.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import { connect, texts } from './anthropic_client.mjs';
import { CHAT, failure, user } from './gateway.mjs';

const client = connect();
const asked = {
  model: CHAT,
  max_tokens: 60,
  temperature: 0,
  system: 'You are a helpful assistant.',
  messages: user('What is the capital of France?'),
};
const tell_city = {
  name: 'tell_city',
  input_schema: {
    type: 'object',
    properties: { name: { type: 'string', enum: ['Paris', 'Rome'] } },
    required: ['name'],
    additionalProperties: false,
  },
};

test('create, and the same streamed', async () => {
  const whole = await client.messages.create(asked);
  assert.ok(texts(whole)[0].length > 0);
  const final = await client.messages.stream(asked).finalMessage();
  assert.deepEqual([texts(final), final.stop_reason], [texts(whole), whole.stop_reason]);
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
});

test('a tool, streamed', async () => {
  const tool_choice = { type: 'tool', name: 'tell_city' };
  const final = await client.messages.stream({ ...asked, tools: [tell_city], tool_choice }).finalMessage();
  const [call] = final.content.filter(({ type }) => type === 'tool_use');
  assert.equal(final.stop_reason, 'tool_use');
  assert.ok(['Paris', 'Rome'].includes(call.input.name), call);
});

test('tokens are counted', async () => {
  const { system, messages } = asked;
  const { input_tokens } = await client.messages.countTokens({ model: CHAT, system, messages });
  const { usage } = await client.messages.create(asked);
  assert.equal(input_tokens, usage.input_tokens + usage.cache_read_input_tokens);
});

test('an error', async () => {
  const error = await failure(client.messages.create({ ...asked, messages: user('word '.repeat(20_000)) }));
  assert.ok(error instanceof Anthropic.BadRequestError);
  assert.equal(error.error.error.type, 'invalid_request_error');
});
