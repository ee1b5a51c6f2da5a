// LangChain's JavaScript: the loop of call, result and answer, in front of engines that answer as they are told.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { z } from 'zod';

import { BASE_URL, failure } from './gateway.mjs';

const connect = (model) =>
  new ChatOpenAI({
    model,
    apiKey: process.env.CLOUDACH_API_KEY,
    configuration: { baseURL: BASE_URL },
    maxRetries: 0,
  });

const get_weather = tool(({ city }) => `It is warm in ${city}. [[say:Warm in ${city}.]]`, {
  name: 'get_weather',
  description: 'Tells the weather.',
  schema: z.object({ city: z.string() }),
});

test('an agent calls and answers', async () => {
  const model = connect('sdk-agent').bindTools([get_weather]);
  const call = (city) => `<tool_call>\n{"name": "get_weather", "arguments": {"city": "${city}"}}\n</tool_call>`;
  const messages = [new HumanMessage(`[[say:${call('Rome')}\n${call('Paris')}]]`)];
  const asked = await model.invoke(messages);
  assert.deepEqual(asked.tool_calls.map(({ args }) => args.city), ['Rome', 'Paris']);
  messages.push(asked);
  for (const { id, args } of asked.tool_calls) {
    messages.push(new ToolMessage({ tool_call_id: id, content: await get_weather.invoke(args) }));
  }
  let text = '';
  for await (const chunk of await model.stream(messages)) text += chunk.text;
  assert.equal(text, 'Warm in Paris.');
});

test('an error', async () => {
  const error = await failure(connect('nobody').invoke('hi'));
  assert.deepEqual([error.status, error.code], [404, 'model_not_found']);
});
