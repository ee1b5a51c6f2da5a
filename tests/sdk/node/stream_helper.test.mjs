// chat.completions.stream: the client's own events over a stream, and the completion it puts together.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LengthFinishReasonError } from 'openai/error';
import { zodResponseFormat } from 'openai/helpers/zod';
import { ChatCompletionStream } from 'openai/lib/ChatCompletionStream';
import { z } from 'zod';

import { CHAT, client, failure, say, user } from './gateway.mjs';

const Person = z.object({ name: z.string(), age: z.number().int() });
const ADA = '{"name": "Ada", "age": 36}';

/** The names and arguments of events, in their order. */
function listen(stream, ...names) {
  const heard = [];
  for (const name of names) stream.on(name, (...args) => heard.push([name, ...args]));
  return heard;
}

test('events', async () => {
  const stream = client.chat.completions.stream({ model: CHAT, messages: say('one two three') });
  const names = ['connect', 'chunk', 'content', 'content.delta', 'content.done', 'message', 'finalContent', 'end'];
  const heard = listen(stream, ...names);
  const final = await stream.finalChatCompletion();
  await stream.done();
  const of = (name) => heard.filter(([event]) => event === name);
  assert.equal(of('connect').length, 1);
  assert.equal(of('content.delta').map(([, event]) => event.delta).join(''), 'one two three');
  assert.equal(of('content').at(-1)[2], 'one two three');
  assert.deepEqual(of('content.done').map(([, event]) => event.content), ['one two three']);
  assert.deepEqual(of('finalContent'), [['finalContent', 'one two three']]);
  assert.equal(heard.at(-1)[0], 'end');
  assert.equal(final.choices[0].message.content, 'one two three');
  assert.equal(final.choices[0].message.role, 'assistant');
  assert.equal(final.choices[0].message.refusal, null);
  assert.equal(final.choices[0].finish_reason, 'stop');
  assert.equal(final.object, 'chat.completion');
  assert.match(final.id, /^chatcmpl-/);
  assert.equal(await stream.finalContent(), 'one two three');
});

test('the final completion is the whole one', async () => {
  const asked = { model: CHAT, messages: user('[[tokens=9]]'), n: 2, seed: 5 };
  const whole = await client.chat.completions.create(asked);
  const stream = client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
  const final = await stream.finalChatCompletion();
  for (const choice of whole.choices) {
    const same = final.choices[choice.index];
    assert.equal(same.message.content, choice.message.content);
    assert.equal(same.finish_reason, choice.finish_reason);
  }
  assert.equal(final.usage.completion_tokens, whole.usage.completion_tokens);
  assert.equal((await stream.totalUsage()).total_tokens, whole.usage.total_tokens);
});

test('it can be iterated over', async () => {
  let text = '';
  for await (const chunk of client.chat.completions.stream({ model: CHAT, messages: say('one two') })) {
    text += chunk.choices[0].delta.content ?? '';
  }
  assert.equal(text, 'one two');
});

test('logprobs events', async () => {
  const stream = client.chat.completions.stream({ model: CHAT, messages: say('one two'), logprobs: true });
  const heard = listen(stream, 'logprobs.content.delta', 'logprobs.content.done');
  await stream.done();
  assert.deepEqual(heard.at(-1)[1].content.map((entry) => entry.token), ['one', ' two']);
  assert.equal(heard.at(-1)[0], 'logprobs.content.done');
});

test('parsed', async () => {
  const response_format = zodResponseFormat(Person, 'person');
  const stream = client.chat.completions.stream({ model: CHAT, messages: say(ADA), response_format });
  const heard = listen(stream, 'content.delta', 'content.done');
  const final = await stream.finalChatCompletion();
  assert.deepEqual(final.choices[0].message.parsed, { name: 'Ada', age: 36 });
  assert.deepEqual(heard.at(-1)[1].parsed, { name: 'Ada', age: 36 });
  assert.ok(heard.some(([name, event]) => name === 'content.delta' && event.parsed?.name === 'Ada'));
});

test('cut short', async () => {
  const response_format = zodResponseFormat(Person, 'person');
  const stream = client.chat.completions.stream({ model: CHAT, messages: say(ADA), response_format, max_tokens: 2 });
  assert.ok((await failure(stream.finalChatCompletion())) instanceof LengthFinishReasonError);
});

test('an error in the middle', async () => {
  const messages = user('[[tokens=9]][[fault:die_after=3]]');
  const stream = client.chat.completions.stream({ model: CHAT, messages });
  const heard = listen(stream, 'content', 'error');
  const error = await failure(stream.finalChatCompletion());
  assert.equal(error.type, 'server_error');
  assert.equal(heard.at(-1)[0], 'error');
  assert.equal(heard.filter(([name]) => name === 'content').at(-1)[2].trim().split(' ').length, 3);
});

test('over a readable stream to a browser', async () => {
  const sent = client.chat.completions.stream({ model: CHAT, messages: say('one two') }).toReadableStream();
  const final = await ChatCompletionStream.fromReadableStream(sent).finalChatCompletion();
  assert.equal(final.choices[0].message.content, 'one two');
});
