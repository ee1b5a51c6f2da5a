// What the tests know of the gateway that tests/sdk/run.sh starts: models, keys, the engine of its own, and what was
// answered. Only any_model*.test.mjs hold for any model; the others order fake engines about, by directives in the prompt.

import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';

import OpenAI from 'openai';

const { CLOUDACH_BASE_URL, CLOUDACH_API_KEY, CLOUDACH_MODEL, CLOUDACH_EMBEDDING_MODEL } = process.env;
assert.ok(
  CLOUDACH_BASE_URL && CLOUDACH_API_KEY && CLOUDACH_MODEL && CLOUDACH_EMBEDDING_MODEL,
  'the environment is not set; start these tests with tests/sdk/run.sh',
);

export const BASE_URL = CLOUDACH_BASE_URL;
export const CHAT = CLOUDACH_MODEL;
export const EMBEDDING = CLOUDACH_EMBEDDING_MODEL;

// The rest is in gateway.yaml, in front of fake engines only.
// A name with a slash, and nobody but this suite asks for it.
export const OWN = 'acme/node';
export const AWAY = 'sdk-away';
export const SUSPENDED_KEY = 'sk-sdk-suspended';
export const FEW_REQUESTS_KEY = 'sk-sdk-node-requests';
export const FEW_TOKENS_KEY = 'sk-sdk-node-tokens';
export const NOBODY_LISTENS = 'http://127.0.0.1:29540/v1';

export const REQUEST_ID = /^req_[0-9a-f]{32}$/;
export const CALL_ID = /^call_[A-Za-z0-9]{24}$/;

export const user = (content) => [{ role: 'user', content }];

/** Messages that a fake engine answers with this text. */
export const say = (text) => user(`[[say:${text}]]`);

/** A stream that an engine needs half a minute for: one that is free within a second was told to stop. */
export const LONG = user('[[tokens=600]][[delay=50ms]]');

/** A client. It does not retry unless told to: what fails once is to be seen. */
export const connect = (options = {}) =>
  new OpenAI({ baseURL: BASE_URL, apiKey: CLOUDACH_API_KEY, maxRetries: 0, timeout: 30_000, ...options });

export const client = connect();

/** A client that tries again so often, and the statuses of all answers that it got. */
export function counted(maxRetries, options = {}) {
  const statuses = [];
  const ids = new Set();
  const counting = async (url, init) => {
    const response = await fetch(url, init);
    statuses.push(response.status);
    ids.add(response.headers.get('x-request-id'));
    assert.equal(ids.size, statuses.length, 'each answer has its own request id');
    return response;
  };
  return [connect({ maxRetries, fetch: counting, ...options }), statuses];
}

/** What a promise is rejected with. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('no error');
}

/** Every item of a stream. */
export async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

export const textOf = (chunks, index = 0) =>
  chunks
    .flatMap((chunk) => chunk.choices)
    .filter((choice) => choice.index === index)
    .map((choice) => choice.delta.content ?? '')
    .join('');

/** Waits until so many requests run on the engine behind OWN, which is asked past the gateway. */
export async function untilRunning(wanted, seconds) {
  const ends = performance.now() + seconds * 1000;
  for (;;) {
    const page = await (await fetch('http://127.0.0.1:29514/metrics')).text();
    const counts = [...page.matchAll(/^vllm:num_requests_(?:running|waiting)\{.*\} (\d+)$/gm)];
    assert.equal(counts.length, 2, page);
    const running = counts.reduce((sum, [, count]) => sum + Number(count), 0);
    if (running === wanted) return;
    assert.ok(performance.now() < ends, `still ${running} requests run, not ${wanted}`);
    await wait(10);
  }
}

/** What every error that came as an answer has. */
export function checkError(error, kind, status, { type = 'invalid_request_error', param = null, code = null } = {}) {
  assert.equal(error.constructor, kind, String(error));
  assert.deepEqual([error.status, error.type, error.param, error.code], [status, type, param, code]);
  assert.deepEqual(Object.keys(error.error).sort(), ['code', 'message', 'param', 'type']);
  assert.match(error.requestID, REQUEST_ID);
  assert.equal(error.requestID, error.headers.get('x-request-id'));
  assert.equal(error.message, `${status} ${error.error.message}`);
}
