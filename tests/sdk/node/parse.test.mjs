// chat.completions.parse with Zod types. What is not ordered is the smallest value that fits the schema.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BadRequestError } from 'openai';
import { LengthFinishReasonError } from 'openai/error';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { CHAT, client, failure, say, user } from './gateway.mjs';

const Person = z.object({ name: z.string(), age: z.number().int() });
const person = zodResponseFormat(Person, 'person');

// Whatever Zod turns into schemas: enums, unions, nullable and nested ones.
const Cart = z.object({
  owner: Person,
  colour: z.enum(['red', 'blue']),
  kind: z.literal('hand'),
  wheels: z.array(z.object({ size: z.number() })),
  note: z.string().nullable(),
  load: z.union([z.object({ weight: z.number() }), z.null()]),
  licensed: z.boolean(),
});

test('parsed', async () => {
  const messages = say('{"name": "Ada", "age": 36}');
  const { choices } = await client.chat.completions.parse({ model: CHAT, messages, response_format: person });
  assert.deepEqual(choices[0].message.parsed, { name: 'Ada', age: 36 });
  assert.equal(choices[0].message.refusal, null);
});

test('the engine follows the schema', async () => {
  const { choices } = await client.chat.completions.parse({
    model: CHAT,
    messages: user('A cart, please.'),
    response_format: zodResponseFormat(Cart, 'cart'),
  });
  assert.equal(Cart.parse(choices[0].message.parsed).kind, 'hand');
});

test('every choice is parsed', async () => {
  const asked = { model: CHAT, messages: user('A person, please.'), response_format: person, n: 2 };
  const { choices } = await client.chat.completions.parse(asked);
  for (const choice of choices) Person.parse(choice.message.parsed);
  assert.equal(choices.length, 2);
});

test('without a type', async () => {
  const { choices } = await client.chat.completions.parse({ model: CHAT, messages: say('Just text') });
  assert.equal(choices[0].message.content, 'Just text');
  assert.equal(choices[0].message.parsed, null);
});

test('cut short', async () => {
  const asked = { model: CHAT, messages: say('{"name": "Ada"}'), response_format: person, max_tokens: 1 };
  assert.ok((await failure(client.chat.completions.parse(asked))) instanceof LengthFinishReasonError);
});

test('a schema that is none', async () => {
  const schema = { type: 'object', properties: { x: { type: 'foo' } }, required: ['x'], additionalProperties: false };
  const response_format = { type: 'json_schema', json_schema: { name: 'odd', strict: true, schema } };
  const error = await failure(client.chat.completions.parse({ model: CHAT, messages: user('x'), response_format }));
  assert.ok(error instanceof BadRequestError);
  assert.match(error.param, /^response_format/);
});
