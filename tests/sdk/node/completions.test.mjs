// completions.create: the endpoint that was there before chat.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { all, CHAT, client, REQUEST_ID } from './gateway.mjs';

test('an answer', async () => {
  const completion = await client.completions.create({ model: CHAT, prompt: '[[say:one two three]]' });
  assert.match(completion.id, /^cmpl-[A-Za-z0-9]{29}$/);
  assert.equal(completion.object, 'text_completion');
  assert.deepEqual(completion.choices, [{ text: 'one two three', index: 0, logprobs: null, finish_reason: 'stop' }]);
  assert.equal(completion.usage.completion_tokens, 3);
  assert.match(completion._request_id, REQUEST_ID);
});

test('several prompts', async () => {
  const { choices } = await client.completions.create({ model: CHAT, prompt: ['[[say:a]]', '[[say:b]]'] });
  assert.deepEqual(choices.map((choice) => [choice.index, choice.text]), [[0, 'a'], [1, 'b']]);
});

test('token ids', async () => {
  const { choices, usage } = await client.completions.create({ model: CHAT, prompt: [[5, 6, 7], [8]], max_tokens: 2 });
  assert.equal(choices.length, 2);
  assert.equal(usage.prompt_tokens, 4);
});

test('echo', async () => {
  const { choices } = await client.completions.create({ model: CHAT, prompt: '[[say:one]]', echo: true });
  assert.equal(choices[0].text, '[[say:one]]one');
});

test('best_of', async () => {
  const { choices } = await client.completions.create({ model: CHAT, prompt: '[[tokens=3]]', n: 2, best_of: 3 });
  assert.deepEqual(choices.map((choice) => choice.index), [0, 1]);
});

test('logprobs', async () => {
  const { choices } = await client.completions.create({ model: CHAT, prompt: '[[say:one two]]', logprobs: 1 });
  assert.deepEqual(choices[0].logprobs.tokens, ['one', ' two']);
  assert.equal(choices[0].logprobs.top_logprobs.length, 2);
});

test('streamed prompts keep their index', async () => {
  const asked = { model: CHAT, prompt: ['[[tokens=3]]', '[[tokens=9]]', '[[tokens=1]]'], seed: 2 };
  const whole = await client.completions.create(asked);
  const chunks = await all(
    await client.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } }),
  );
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.deepEqual(last.usage, whole.usage);
  for (const choice of whole.choices) {
    const mine = chunks.flatMap((chunk) => chunk.choices).filter(({ index }) => index === choice.index);
    assert.equal(mine.map(({ text }) => text).join(''), choice.text);
    assert.deepEqual(mine.map((piece) => piece.finish_reason).filter(Boolean), ['stop']);
  }
});
