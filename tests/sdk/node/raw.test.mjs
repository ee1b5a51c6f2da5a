// withResponse and asResponse: the headers of every kind of answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { all, CHAT, client, EMBEDDING, REQUEST_ID, say, textOf } from './gateway.mjs';

function checkHeaders(headers) {
  assert.match(headers.get('x-request-id'), REQUEST_ID);
  assert.match(headers.get('openai-processing-ms'), /^\d+$/);
  assert.equal(headers.get('openai-version'), '2020-10-01');
  for (const of of ['requests', 'tokens']) {
    const limit = headers.get(`x-ratelimit-limit-${of}`);
    const remaining = headers.get(`x-ratelimit-remaining-${of}`);
    assert.match(limit ?? 'absent', /^\d+$/);
    assert.match(remaining ?? 'absent', /^\d+$/);
    assert.ok(Number(limit) >= Number(remaining));
    assert.match(headers.get(`x-ratelimit-reset-${of}`) ?? 'absent', /^(\d+m)?(\d+(\.\d+)?s)?$|^\d+ms$/);
  }
}

const KINDS = [
  ['chat', () => client.chat.completions.create({ model: CHAT, messages: say('Hello') })],
  ['completions', () => client.completions.create({ model: CHAT, prompt: '[[say:Hello]]' })],
  ['embeddings', () => client.embeddings.create({ model: EMBEDDING, input: 'Hello' })],
];

for (const [name, ask] of KINDS) {
  test(`${name}: withResponse`, async () => {
    const { data, response, request_id } = await ask().withResponse();
    checkHeaders(response.headers);
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type'), /^application\/json/);
    assert.equal(request_id, response.headers.get('x-request-id'));
    assert.equal(data._request_id, request_id);
  });

  test(`${name}: asResponse`, async () => {
    const response = await ask().asResponse();
    checkHeaders(response.headers);
    assert.ok((await response.json()).usage.prompt_tokens > 0);
  });
}

test('a stream', async () => {
  const asked = { model: CHAT, messages: say('one two'), stream: true };
  const { data, response } = await client.chat.completions.create(asked).withResponse();
  checkHeaders(response.headers);
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  assert.equal(textOf(await all(data)), 'one two');
});

test('a stream as it is on the wire', async () => {
  const asked = { model: CHAT, messages: say('one two'), stream: true };
  const text = await (await client.chat.completions.create(asked).asResponse()).text();
  assert.ok(text.endsWith('data: [DONE]\n\n'));
});

test('models', async () => {
  const { data, response } = await client.models.list().withResponse();
  assert.match(response.headers.get('x-request-id'), REQUEST_ID);
  assert.ok(data.data.some((model) => model.id === CHAT));
});
