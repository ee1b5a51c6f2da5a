// embeddings.create, models.list and models.retrieve.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BadRequestError, NotFoundError, PermissionDeniedError } from 'openai';

import { all, AWAY, CHAT, client, EMBEDDING, failure, OWN } from './gateway.mjs';

const embed = (input, more = {}) => client.embeddings.create({ model: EMBEDDING, input, ...more });
const close = (left, right) => left.every((number, place) => Math.abs(number - right[place]) < 1e-6);

test('base64 is what the client asks for and decodes', async () => {
  const answer = await embed('Hello there');
  assert.equal(answer.object, 'list');
  assert.equal(answer.model, EMBEDDING);
  assert.deepEqual(answer.usage, { prompt_tokens: 2, total_tokens: 2 });
  const [{ embedding, index }] = answer.data;
  assert.equal(index, 0);
  assert.equal(embedding.length, 384);
  assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-4);
  const plain = await embed('Hello there', { encoding_format: 'float' });
  assert.ok(close(embedding, plain.data[0].embedding));
});

test('base64 as it is on the wire', async () => {
  const { data } = await embed('Hello there', { encoding_format: 'base64' });
  assert.equal(typeof data[0].embedding, 'string');
  assert.equal(Buffer.from(data[0].embedding, 'base64').length, 384 * 4);
});

test('order', async () => {
  const texts = Array.from({ length: 20 }, (_, number) => `text number ${number}`);
  const { data } = await embed(texts);
  assert.deepEqual(data.map((item) => item.index), [...texts.keys()]);
  const [alone] = (await embed(texts[7])).data;
  assert.ok(close(data[7].embedding, alone.embedding));
});

test('token ids mean the text, in cl100k_base', async () => {
  const [text] = (await embed('hello world')).data;
  const { data } = await embed([[15339, 1917], [15339]]);
  assert.ok(close(data[0].embedding, text.embedding));
  assert.equal(data.length, 2);
});

test('what cannot be embedded', async () => {
  const dimensions = await failure(embed('Hello', { dimensions: 8 }));
  assert.ok(dimensions instanceof BadRequestError);
  assert.equal(dimensions.param, 'dimensions');
  assert.ok((await failure(embed([]))) instanceof BadRequestError);
  assert.ok((await failure(embed('x', { model: CHAT }))) instanceof PermissionDeniedError);
});

test('models', async () => {
  const names = (await all(client.models.list())).map((model) => model.id);
  for (const name of [CHAT, EMBEDDING, OWN, AWAY]) assert.ok(names.includes(name), name);
});

test('a model with a slash', async () => {
  const model = await client.models.retrieve(OWN);
  assert.deepEqual(Object.keys(model), ['id', 'object', 'created', 'owned_by']);
  assert.equal(model.id, OWN);
  assert.equal((await client.get(`/models/${OWN}`)).id, OWN);
});

test('an unknown model', async () => {
  const error = await failure(client.models.retrieve('acme/nope'));
  assert.ok(error instanceof NotFoundError);
  assert.equal(error.code, 'model_not_found');
  assert.equal(error.param, 'model');
});
