// The limits of a key: a typed error that says when to come back, and a client that does.
// One after the other, because they use up the same limits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

import OpenAI from 'openai';

import { CHAT, checkError, connect, counted, FEW_REQUESTS_KEY, FEW_TOKENS_KEY, OWN, say, user } from './gateway.mjs';

const asked = { model: CHAT, messages: say('x'), max_tokens: 1 };
const long = { model: OWN, messages: user('[[tokens=1500]]'), max_tokens: 1500 };

/** Asks until it is refused for its limits and told to wait for half a second at least. */
async function untilLimited(ask, most) {
  for (let count = 0; count < most; count += 1) {
    const error = await ask().then(() => undefined, (error) => error);
    if (!error) continue;
    const told = Number(error.headers.get('retry-after-ms'));
    if (told >= 500) return error;
    await wait(told);
  }
  assert.fail(`${most} requests, and no limit`);
}

function checkRateLimit(error, type, unit) {
  checkError(error, OpenAI.RateLimitError, 429, { type, code: 'rate_limit_exceeded' });
  assert.match(error.message, /^429 Rate limit reached for .* Please try again in /);
  assert.ok(error.message.includes(unit));
  assert.ok(Number(error.headers.get('retry-after-ms')) <= 60_000);
  assert.match(error.headers.get('retry-after'), /^[1-9]\d*$/);
  assert.notEqual(error.headers.get('x-should-retry'), 'false');
}

test('too many requests', async () => {
  const limited = connect({ apiKey: FEW_REQUESTS_KEY });
  const error = await untilLimited(() => limited.chat.completions.create(asked), 200);
  checkRateLimit(error, 'requests', 'requests per min (RPM)');
});

test('too many tokens', async () => {
  const limited = connect({ apiKey: FEW_TOKENS_KEY });
  const error = await untilLimited(() => limited.chat.completions.create(long), 10);
  checkRateLimit(error, 'tokens', 'tokens per min (TPM)');
});

test('the limit on requests is waited for', async () => {
  const impatient = connect({ apiKey: FEW_REQUESTS_KEY });
  await untilLimited(() => impatient.chat.completions.create(asked), 200);
  const [client, statuses] = counted(2, { apiKey: FEW_REQUESTS_KEY });
  const began = performance.now();
  await client.chat.completions.create(asked);
  assert.deepEqual(statuses, [429, 200]);
  assert.ok(performance.now() - began > 300);
});
