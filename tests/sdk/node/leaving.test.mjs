// A client that leaves frees the engine within a second, in every way in which this client leaves.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { APIUserAbortError } from 'openai';

import { client, connect, failure, LONG, OWN, untilRunning } from './gateway.mjs';

const asked = { model: OWN, messages: LONG };

/** One after the other: they watch the same engine. */
test('leaving', async (suite) => {
  await untilRunning(0, 10);

  await suite.test('AbortController, before the answer', async () => {
    const controller = new AbortController();
    const asking = failure(client.chat.completions.create(asked, { signal: controller.signal }));
    await untilRunning(1, 5);
    controller.abort();
    assert.ok((await asking) instanceof APIUserAbortError);
    await untilRunning(0, 1);
  });

  await suite.test('AbortController, in the middle of a stream', async () => {
    const controller = new AbortController();
    const stream = await client.chat.completions.create({ ...asked, stream: true }, { signal: controller.signal });
    let chunks = 0;
    for await (const _ of stream) {
      chunks += 1;
      if (chunks === 2) await untilRunning(1, 5);
      if (chunks === 3) controller.abort();
    }
    await untilRunning(0, 1);
  });

  await suite.test("a stream's own controller", async () => {
    const stream = await client.chat.completions.create({ ...asked, stream: true });
    await untilRunning(1, 5);
    stream.controller.abort();
    await untilRunning(0, 1);
  });

  await suite.test('breaking out of the loop', async () => {
    for await (const _ of await client.chat.completions.create({ ...asked, stream: true })) {
      await untilRunning(1, 5);
      break;
    }
    await untilRunning(0, 1);
  });

  await suite.test('the stream helper', async () => {
    const stream = client.chat.completions.stream(asked);
    stream.once('content', () => stream.abort());
    assert.ok((await failure(stream.finalChatCompletion())) instanceof APIUserAbortError);
    await untilRunning(0, 1);
  });

  await suite.test('a time-out', async () => {
    await failure(connect({ timeout: 300 }).chat.completions.create(asked));
    await untilRunning(0, 1);
  });
});
