// What of Vercel's AI SDK holds whatever the model says: these tests also run in front of a real one.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { generateObject, generateText, isStepCount, Output, streamText, tool } from 'ai';
import { z } from 'zod';

import { providers } from './ai_sdk.mjs';
import { all, CALL_ID, CHAT } from './gateway.mjs';

const City = z.object({ name: z.enum(['Paris', 'Rome']), capital: z.boolean() });
// The real model answers in one short sentence, and stops.
const question = {
  instructions: 'You are a helpful assistant.',
  prompt: 'What is the capital of France?',
  temperature: 0,
  seed: 7,
  maxOutputTokens: 100,
  maxRetries: 0,
};

for (const [provider, model] of Object.entries(providers(CHAT))) {
  const asked = { ...question, model };

  describe(`@ai-sdk/${provider}`, () => {
    test('text, and the same streamed', async () => {
      const whole = await generateText(asked);
      assert.ok(whole.text.length > 0);
      const result = streamText(asked);
      assert.equal((await all(result.textStream)).join(''), whole.text);
      assert.equal((await result.usage).totalTokens, whole.usage.totalTokens);
      assert.ok(whole.usage.totalTokens > 0);
    });

    test('an object, whole and streamed', async () => {
      const output = Output.object({ schema: City });
      City.parse((await generateText({ ...asked, output })).output);
      City.parse((await generateObject({ ...asked, schema: City })).object);
      const result = streamText({ ...asked, output });
      assert.deepEqual((await all(result.partialOutputStream)).at(-1), City.parse(await result.output));
    });

    test('a list and a choice', async () => {
      const { output } = await generateText({ ...asked, output: Output.array({ element: City, minItems: 2, maxItems: 2 }) });
      assert.equal(z.array(City).parse(output).length, 2);
      const options = ['Paris', 'Rome'];
      assert.ok(options.includes((await generateText({ ...asked, output: Output.choice({ options }) })).output));
    });

    for (const toolChoice of ['required', { type: 'tool', toolName: 'tell_city' }]) {
      test(`a tool that must be called: ${toolChoice.toolName ?? toolChoice}`, async () => {
        const told = [];
        const tools = {
          tell_city: tool({
            description: 'Takes an answer about a city.',
            inputSchema: z.object({ city: City, visited: z.boolean() }),
            execute: async (input) => told.push(input),
          }),
        };
        // One call, which is done before the budget is. One provider has its own name for it, the other sends any.
        const providerOptions = { openai: { parallelToolCalls: false }, cloudach: { parallel_tool_calls: false } };
        const forced = { ...asked, tools, toolChoice, providerOptions };
        const whole = await generateText(forced);
        const result = streamText(forced);
        for (const toolCalls of [whole.toolCalls, await result.toolCalls]) {
          assert.equal(toolCalls.length, 1);
          assert.match(toolCalls[0].toolCallId, CALL_ID);
          assert.equal(toolCalls[0].toolName, 'tell_city');
          City.parse(toolCalls[0].input.city);
        }
        assert.equal(told.length, 2);
      });
    }

    test('a tool is called and answered', async () => {
      const result = await generateText({
        ...asked,
        tools: {
          tell_city: tool({ description: 'Takes a city.', inputSchema: City, execute: async ({ name }) => `${name} it is.` }),
        },
        stopWhen: isStepCount(2),
        prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? { type: 'tool', toolName: 'tell_city' } : 'none' }),
      });
      assert.equal(result.steps.length, 2);
      City.parse(result.steps[0].toolCalls[0].input);
      assert.ok(result.text.length > 0);
    });
  });
}
