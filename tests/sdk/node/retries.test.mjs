// What the client tries again by itself, and when. Attempts are counted by the answers that came back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { all, CHAT, counted, failure, SUSPENDED_KEY, user } from './gateway.mjs';

const ask = (client, prompt = '[[say:x]]', more = {}) =>
  client.chat.completions.create({ model: CHAT, messages: user(prompt), ...more });

for (const stream of [false, true]) {
  test(`overloaded is tried again when the server says${stream ? ', streamed' : ''}`, async () => {
    const [client, statuses] = counted(1);
    const began = performance.now();
    const error = await failure(ask(client, '[[fault:overloaded]]', { stream }));
    assert.deepEqual(statuses, [503, 503]);
    const told = Number(error.headers.get('retry-after-ms'));
    const waited = performance.now() - began;
    assert.ok(told > 0 && waited >= told - 5 && waited < told + 2000, `told to wait ${told} ms, waited ${waited} ms`);
  });
}

test('broken is tried again', async () => {
  const [client, statuses] = counted(2);
  await failure(ask(client, '[[fault:internal]]'));
  assert.deepEqual(statuses, [500, 500, 500]);
});

test('no quota is not tried again', async () => {
  const [client, statuses] = counted(5, { apiKey: SUSPENDED_KEY });
  await failure(ask(client));
  assert.deepEqual(statuses, [429]);
});

const FINAL = [
  ['a bad request', 400, (client) => ask(client, 'x', { temperature: 9 })],
  ['a wrong key', 401, (client) => ask(client.withOptions({ apiKey: 'sk-wrong' }))],
  ['what is not allowed', 403, (client) => client.embeddings.create({ model: CHAT, input: 'x' })],
  ['an unknown model', 404, (client) => client.models.retrieve('nope')],
];
for (const [name, status, wrong] of FINAL) {
  test(`${name} is not tried again`, async () => {
    const [client, statuses] = counted(5);
    await failure(wrong(client));
    assert.deepEqual(statuses, [status]);
  });
}

test('a broken stream is not tried again', async () => {
  const [client, statuses] = counted(5);
  await failure(ask(client, '[[tokens=9]][[fault:die_after=3]]', { stream: true }).then(all));
  assert.deepEqual(statuses, [200]);
});
