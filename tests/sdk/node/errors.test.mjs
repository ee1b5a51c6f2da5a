// A typed error for everything that can go wrong.
//
// Two of the client's classes have no test: the gateway never sends a 409 (ConflictError) nor a 422
// (UnprocessableEntityError), as OpenAI does not on these endpoints.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';

import {
  all, AWAY, BASE_URL, CHAT, checkError as check, client, connect, EMBEDDING, failure, NOBODY_LISTENS, REQUEST_ID, say,
  SUSPENDED_KEY, user,
} from './gateway.mjs';

const chat = (more) => client.chat.completions.create({ model: CHAT, messages: say('x'), ...more });

const BAD_REQUESTS = [
  ['no messages', { messages: [] }, 'messages', 'empty_array'],
  ['unknown role', { messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role', 'invalid_value'],
  ['temperature too high', { temperature: 3 }, 'temperature', 'decimal_above_max_value'],
  ['too many stops', { stop: [...'abcde'] }, 'stop', 'array_above_max_length'],
  ['too long', { messages: user('word '.repeat(3000)) }, 'messages', 'context_length_exceeded'],
];
for (const [name, change, param, code] of BAD_REQUESTS) {
  for (const stream of [false, true]) {
    test(`BadRequestError: ${name}${stream ? ', where a stream was asked for' : ''}`, async () => {
      check(await failure(chat({ ...change, stream })), OpenAI.BadRequestError, 400, { param, code });
    });
  }
}

test('AuthenticationError', async () => {
  const wrong = await failure(connect({ apiKey: 'sk-wrong-0123456789abcdefghijklmnop' }).models.list());
  check(wrong, OpenAI.AuthenticationError, 401, { code: 'invalid_api_key' });
  const none = await failure(connect({ defaultHeaders: { Authorization: null } }).models.list());
  check(none, OpenAI.AuthenticationError, 401);
  assert.match(none.message, /You didn't provide an API key/);
});

test('PermissionDeniedError', async () => {
  const error = await failure(client.completions.create({ model: EMBEDDING, prompt: 'x' }));
  check(error, OpenAI.PermissionDeniedError, 403);
});

test('NotFoundError', async () => {
  check(await failure(chat({ model: 'nope' })), OpenAI.NotFoundError, 404, { code: 'model_not_found' });
  check(await failure(client.post('/nope', { body: {} })), OpenAI.NotFoundError, 404);
  const noVersion = connect({ baseURL: BASE_URL.replace(/\/v1$/, '') });
  check(await failure(noVersion.models.list()), OpenAI.NotFoundError, 404, { code: 'unknown_url' });
});

test('a status without a class of its own', async () => {
  check(await failure(client.get('/chat/completions')), OpenAI.APIError, 405);
});

test('RateLimitError: no quota', async () => {
  const suspended = connect({ apiKey: SUSPENDED_KEY });
  const error = await failure(suspended.chat.completions.create({ model: CHAT, messages: say('x') }));
  check(error, OpenAI.RateLimitError, 429, { type: 'insufficient_quota', code: 'insufficient_quota' });
  assert.equal(error.headers.get('x-should-retry'), 'false');
});

const ENGINE_FAILURES = [
  ['broken', { messages: user('[[fault:internal]]') }, 500],
  ['overloaded', { messages: user('[[fault:overloaded]]') }, 503],
  ['out of memory', { messages: user('[[fault:oom]]') }, 503],
  ['gone', { messages: user('[[fault:die]]') }, 503],
  ['away', { model: AWAY }, 503],
];
for (const [name, asked, status] of ENGINE_FAILURES) {
  test(`InternalServerError: the engine is ${name}`, async () => {
    const error = await failure(chat(asked));
    check(error, OpenAI.InternalServerError, status, { type: 'server_error' });
    assert.ok(Number(error.headers.get('retry-after-ms')) > 0);
    assert.equal(error.headers.get('x-should-retry'), 'true');
  });
}

for (const fault of ['die_after=3', 'error_after=3', 'end_after=3', 'abort_after=3', 'internal_after=3', 'oom_after=3']) {
  test(`APIError in the middle of a stream: ${fault}`, async () => {
    let text = '';
    const read = async () => {
      for await (const chunk of await chat({ messages: user(`[[tokens=9]][[fault:${fault}]]`), stream: true })) {
        text += chunk.choices[0].delta.content ?? '';
      }
    };
    const error = await failure(read());
    assert.equal(error.constructor, OpenAI.APIError);
    assert.deepEqual([error.status, error.type, error.param], [undefined, 'server_error', null]);
    assert.match(error.requestID, REQUEST_ID);
    assert.equal(text.trim().split(' ').length, 3);
  });
}

test('APIError in the middle of a completions stream', async () => {
  const stream = await client.completions.create({ model: CHAT, prompt: '[[tokens=9]][[fault:die_after=3]]', stream: true });
  assert.equal((await failure(all(stream))).constructor, OpenAI.APIError);
});

test('APIConnectionTimeoutError', async () => {
  const hasty = connect({ timeout: 300 });
  const error = await failure(hasty.chat.completions.create({ model: CHAT, messages: user('[[first=5s]]') }));
  assert.ok(error instanceof OpenAI.APIConnectionTimeoutError);
});

test('APIConnectionError', async () => {
  const error = await failure(connect({ baseURL: NOBODY_LISTENS }).models.list());
  assert.ok(error instanceof OpenAI.APIConnectionError);
  assert.ok(!(error instanceof OpenAI.APIConnectionTimeoutError));
});
