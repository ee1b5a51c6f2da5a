// chat.completions.create, whole and streamed.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Stream } from 'openai/streaming';

import { all, CHAT, client, failure, REQUEST_ID, say, textOf, user } from './gateway.mjs';

test('an answer', async () => {
  const completion = await client.chat.completions.create({ model: CHAT, messages: say('Hello there') });
  assert.match(completion.id, /^chatcmpl-[A-Za-z0-9]{29}$/);
  assert.equal(completion.object, 'chat.completion');
  assert.equal(completion.model, CHAT);
  assert.equal(completion.service_tier, 'default');
  assert.equal(completion.system_fingerprint, null);
  assert.match(completion._request_id, REQUEST_ID);
  assert.deepEqual(completion.choices, [
    {
      index: 0,
      message: { role: 'assistant', content: 'Hello there', refusal: null, annotations: [] },
      logprobs: null,
      finish_reason: 'stop',
    },
  ]);
});

test('usage has all its details', async () => {
  const { usage } = await client.chat.completions.create({ model: CHAT, messages: say('Hello there') });
  assert.equal(usage.completion_tokens, 2);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.ok(usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens);
  assert.deepEqual(usage.completion_tokens_details, {
    reasoning_tokens: 0,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  });
});

test('several choices', async () => {
  const { choices } = await client.chat.completions.create({ model: CHAT, messages: user('[[tokens=4]]'), n: 3, seed: 1 });
  assert.deepEqual(choices.map((choice) => choice.index), [0, 1, 2]);
  assert.equal(new Set(choices.map((choice) => choice.message.content)).size, 3);
});

for (const most of ['max_tokens', 'max_completion_tokens']) {
  test(most, async () => {
    const { choices } = await client.chat.completions.create({ model: CHAT, messages: say('one two three'), [most]: 2 });
    assert.equal(choices[0].finish_reason, 'length');
    assert.equal(choices[0].message.content, 'one two');
  });
}

test('stop', async () => {
  const asked = { model: CHAT, messages: user('[[say:one two STOP three]][[cut=2]]'), stop: ['STOP'] };
  const { choices } = await client.chat.completions.create(asked);
  assert.equal(choices[0].message.content, 'one two ');
  assert.equal(choices[0].finish_reason, 'stop');
  const chunks = await all(await client.chat.completions.create({ ...asked, stream: true }));
  assert.equal(textOf(chunks), 'one two ');
});

test('logprobs', async () => {
  const { choices } = await client.chat.completions.create({
    model: CHAT,
    messages: say('one zwölf 日本'),
    logprobs: true,
    top_logprobs: 2,
  });
  const { content, refusal } = choices[0].logprobs;
  assert.equal(refusal, null);
  assert.equal(Buffer.from(content.flatMap((entry) => entry.bytes)).toString(), choices[0].message.content);
  for (const entry of content) {
    assert.ok(entry.logprob <= 0);
    assert.equal(entry.top_logprobs.length, 2);
  }
});

test("vLLM's own parameters stand beside the others", async () => {
  const asked = { model: CHAT, messages: user('Which?'), structured_outputs: { choice: ['red', 'blue'] }, top_k: 5 };
  const { choices } = await client.chat.completions.create(asked);
  assert.equal(choices[0].message.content, 'red');
});

test('a parameter that nobody knows is named', async () => {
  const error = await failure(client.chat.completions.create({ model: CHAT, messages: say('x'), nonsense: 1 }));
  assert.match(error.message, /^400 Unrecognized request argument supplied: nonsense/);
});

test('a stream', async () => {
  const stream = await client.chat.completions.create({ model: CHAT, messages: say('one two three'), stream: true });
  assert.ok(stream instanceof Stream);
  const chunks = await all(stream);
  const choices = chunks.map((chunk) => chunk.choices[0]);
  assert.deepEqual(choices[0].delta, { role: 'assistant', content: '', refusal: null });
  for (const choice of choices.slice(1, -1)) {
    assert.deepEqual(Object.keys(choice.delta), ['content']);
    assert.equal(choice.finish_reason, null);
  }
  assert.deepEqual(choices.at(-1).delta, {});
  assert.equal(choices.at(-1).finish_reason, 'stop');
  assert.equal(textOf(chunks), 'one two three');
  for (const chunk of chunks) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    for (const key of ['id', 'created', 'model', 'service_tier', 'system_fingerprint']) {
      assert.equal(chunk[key], chunks[0][key]);
    }
    assert.ok(!('usage' in chunk));
  }
});

test('streamed is what is not streamed', async () => {
  const asked = { model: CHAT, messages: user('[[tokens=20]]'), seed: 3, n: 2 };
  const { choices } = await client.chat.completions.create(asked);
  const chunks = await all(await client.chat.completions.create({ ...asked, stream: true }));
  for (const choice of choices) assert.equal(textOf(chunks, choice.index), choice.message.content);
});

test('usage at the end of a stream', async () => {
  const asked = { model: CHAT, messages: say('one two three') };
  const { usage } = await client.chat.completions.create(asked);
  const chunks = await all(
    await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } }),
  );
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens, usage.completion_tokens);
  assert.equal(last.usage.prompt_tokens, usage.prompt_tokens);
  for (const chunk of chunks) {
    assert.equal(chunk.usage, null);
    assert.equal(chunk.choices.length, 1);
  }
});

test('comments on a quiet stream are read over', async () => {
  const messages = user('[[tokens=2]][[delay=1200ms]]');
  const chunks = await all(await client.chat.completions.create({ model: CHAT, messages, stream: true }));
  assert.equal(textOf(chunks).trim().split(' ').length, 2);
});

test('characters are whole', async () => {
  const messages = user('[[say:日本 🦀 é]][[cut=1]]');
  const chunks = await all(await client.chat.completions.create({ model: CHAT, messages, stream: true }));
  assert.equal(textOf(chunks), '日本 🦀 é');
  for (const chunk of chunks) assert.ok(!(chunk.choices[0].delta.content ?? '').includes('\ufffd'));
});

test('toReadableStream carries the chunks, a line each, and fromReadableStream reads them', async () => {
  const ask = () => client.chat.completions.create({ model: CHAT, messages: say('one two'), stream: true });
  const lines = (await new Response((await ask()).toReadableStream()).text()).trimEnd().split('\n');
  assert.equal(textOf(lines.map((line) => JSON.parse(line))), 'one two');
  const carried = Stream.fromReadableStream((await ask()).toReadableStream(), new AbortController());
  assert.equal(textOf(await all(carried)), 'one two');
});

test('tee gives the stream twice', async () => {
  const stream = await client.chat.completions.create({ model: CHAT, messages: say('one two'), stream: true });
  const [left, right] = stream.tee();
  assert.deepEqual((await Promise.all([all(left), all(right)])).map((chunks) => textOf(chunks)), ['one two', 'one two']);
});
