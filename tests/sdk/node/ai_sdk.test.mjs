// Vercel's AI SDK on the gateway: text, typed output, and tools over several steps, by both of its providers. What is
// not ordered is the smallest value that fits the schema.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  APICallError,
  embedMany,
  generateObject,
  generateText,
  isStepCount,
  NoObjectGeneratedError,
  Output,
  streamObject,
  streamText,
  tool,
  ToolLoopAgent,
} from 'ai';
import { z } from 'zod';

import { providers } from './ai_sdk.mjs';
import { all, BASE_URL, CALL_ID, EMBEDDING, failure, SUSPENDED_KEY } from './gateway.mjs';

// Its template shows tools, and its calls and reasoning are read.
const AGENT = 'sdk-agent';

// Whatever Zod turns into schemas: enums, bounds, unions, nullable and nested ones.
const Cart = z.object({
  kind: z.enum(['hand', 'horse']),
  wheels: z.array(z.object({ size: z.number(), spokes: z.int().min(3).max(12) })).min(2).max(4),
  owner: z.string().nullable(),
  load: z.union([z.object({ weight: z.number() }), z.null()]),
  licensed: z.boolean().describe('Whether it may be on the road.'),
});
// Strict schemas require all their members.
const Loose = Cart.extend({ colour: z.string().optional() });

const weather = tool({
  description: 'Tells the weather.',
  inputSchema: z.object({ city: z.string(), days: z.int().min(1).optional() }),
  // A fake engine obeys it once it is in the prompt.
  execute: async ({ city }) => `[[say:It is warm in ${city}.]]`,
});
const tools = { get_weather: weather };

/** A prompt that has the calls made in the model's own notation, after words of its own. */
function written(...cities) {
  const calls = cities.map((city) => JSON.stringify({ name: 'get_weather', arguments: { city } }));
  const text = calls.map((call) => `<tool_call>\n${call}\n</tool_call>`).join('\n');
  return `[[say:<think>Which tool?</think>Let me see.${text}]]`;
}

for (const [provider, model] of Object.entries(providers(AGENT))) {
  // Responses have fewer settings, as at OpenAI, and other words for some things.
  const speaksOfResponses = provider === 'openai, by default';
  const fewestTokens = speaksOfResponses ? 16 : 1;
  const asked = { model, maxRetries: 0 };
  const cart = { ...asked, prompt: 'A cart, please.' };

  describe(`@ai-sdk/${provider}`, () => {
    test('text', async () => {
      const { text, finishReason, usage, warnings, response } = await generateText({
        ...asked,
        instructions: 'Be kind.',
        prompt: '[[say:Hello there]]',
      });
      assert.deepEqual([text, finishReason, warnings], ['Hello there', 'stop', []]);
      assert.equal(usage.outputTokens, 2);
      assert.equal(usage.totalTokens, usage.inputTokens + 2);
      assert.equal(response.modelId, AGENT);
    });

    test('text, streamed', async () => {
      const result = streamText({ ...asked, prompt: '[[say:Hello there]]' });
      const parts = await all(result.textStream);
      assert.ok(parts.length > 1);
      assert.equal(parts.join(''), 'Hello there');
      assert.equal(await result.finishReason, 'stop');
      assert.equal((await result.usage).outputTokens, 2);
    });

    test('the settings it offers', async () => {
      const settings = { temperature: 0.5, topP: 0.9 };
      const more = { seed: 7, presencePenalty: 0.1, frequencyPenalty: 0.1, stopSequences: ['x'] };
      const prompt = '[[say:one x two]]';
      const stopped = await generateText({ ...asked, ...settings, ...(speaksOfResponses ? {} : more), prompt });
      const text = speaksOfResponses ? 'one x two' : 'one ';
      assert.deepEqual([stopped.text, stopped.finishReason, stopped.warnings], [text, 'stop', []]);
      const long = `[[tokens=${fewestTokens + 1}]]`;
      const cut = await generateText({ ...asked, prompt: long, maxOutputTokens: fewestTokens });
      assert.deepEqual([cut.finishReason, cut.usage.outputTokens], ['length', fewestTokens]);
    });

    test('an object', async () => {
      const { output, finishReason, warnings } = await generateText({ ...cart, output: Output.object({ schema: Cart }) });
      assert.equal(Cart.parse(output).wheels.length, 2);
      assert.deepEqual([finishReason, warnings], ['stop', []]);
    });

    test('an object, streamed', async () => {
      const result = streamText({ ...cart, output: Output.object({ schema: Cart }) });
      const parts = await all(result.partialOutputStream);
      assert.ok(parts.length > 1);
      assert.deepEqual(parts.at(-1), Cart.parse(await result.output));
    });

    test('an object, the older way', async () => {
      assert.equal(Cart.parse((await generateObject({ ...cart, schema: Cart })).object).kind, 'hand');
      const result = streamObject({ ...cart, schema: Cart });
      const parts = await all(result.partialObjectStream);
      assert.deepEqual(parts.at(-1), Cart.parse(await result.object));
    });

    test('an object that is not strict', async () => {
      const output = Output.object({ schema: Loose });
      const error = await failure(generateText({ ...cart, output }));
      assert.match(error.message, /Missing 'colour'/);
      // Both names, as each provider reads its own.
      const providerOptions = { openai: { strictJsonSchema: false }, cloudach: { strictJsonSchema: false } };
      Loose.parse((await generateText({ ...cart, output, providerOptions })).output);
    });

    test('a list, and its elements streamed', async () => {
      const output = Output.array({ element: Cart, minItems: 2, maxItems: 3 });
      const carts = (await generateText({ ...cart, output })).output;
      assert.equal(carts.length, 2);
      assert.deepEqual(await all(streamText({ ...cart, output }).elementStream), carts);
    });

    test('a choice', async () => {
      const output = Output.choice({ options: ['sunny', 'rainy'] });
      const chosen = (await generateText({ ...asked, prompt: 'The weather?', output })).output;
      assert.ok(['sunny', 'rainy'].includes(chosen), chosen);
    });

    test('any JSON', async () => {
      const prompt = 'JSON, please. [[say:{"name": "Ada"}]]';
      assert.deepEqual((await generateText({ ...asked, prompt, output: Output.json() })).output, { name: 'Ada' });
    });

    test('an object cut short', async () => {
      const output = Output.object({ schema: Cart });
      const error = await failure(generateText({ ...cart, output, maxOutputTokens: fewestTokens + 1 }));
      assert.ok(NoObjectGeneratedError.isInstance(error));
      assert.deepEqual([error.finishReason, error.usage.outputTokens], ['length', fewestTokens + 1]);
    });

    test('a tool is called and answered', async () => {
      const result = await generateText({ ...asked, tools, stopWhen: isStepCount(3), prompt: written('Paris') });
      assert.equal(result.text, 'It is warm in Paris.');
      const [first, second] = result.steps;
      assert.equal(result.steps.length, 2);
      assert.deepEqual([first.text, first.finishReason, second.finishReason], ['Let me see.', 'tool-calls', 'stop']);
      const [call] = first.toolCalls;
      assert.match(call.toolCallId, CALL_ID);
      assert.deepEqual([call.toolName, call.input], ['get_weather', { city: 'Paris' }]);
      assert.equal(first.toolResults[0].toolCallId, call.toolCallId);
      assert.ok(result.totalUsage.outputTokens > second.usage.outputTokens);
    });

    test('tools are called and answered, streamed', async () => {
      const prompt = `${written('Paris', 'Rome')}[[cut=3]]`;
      const result = streamText({ ...asked, tools, stopWhen: isStepCount(3), prompt });
      const parts = await all(result.fullStream);
      const starts = parts.filter(({ type }) => type === 'tool-input-start');
      assert.deepEqual(starts.map(({ toolName }) => toolName), ['get_weather', 'get_weather']);
      for (const [place, city] of ['Paris', 'Rome'].entries()) {
        const deltas = parts.filter(({ type, id }) => type === 'tool-input-delta' && id === starts[place].id);
        assert.ok(deltas.length > 1);
        assert.deepEqual(JSON.parse(deltas.map(({ delta }) => delta).join('')), { city });
      }
      const [first, second] = await result.steps;
      assert.deepEqual(first.toolCalls.map(({ input }) => input.city), ['Paris', 'Rome']);
      assert.equal(first.finishReason, 'tool-calls');
      // The later order is obeyed.
      assert.deepEqual([second.text, second.finishReason], ['It is warm in Rome.', 'stop']);
      assert.ok(!parts.some(({ type }) => type === 'error'));
    });

    test('a strict tool is called with what its schema allows', async () => {
      const strict = { ...weather, strict: true, inputSchema: z.object({ city: z.string() }) };
      const providerOptions = { openai: { parallelToolCalls: false }, cloudach: { parallel_tool_calls: false } };
      // What the model says as long as it is held to nothing.
      const prompt = written(5).replace('[[say:', '[[free:');
      const result = await generateText({ ...asked, tools: { get_weather: strict }, providerOptions, prompt });
      assert.equal(result.text, 'Let me see.');
      assert.deepEqual(result.toolCalls.map(({ input }) => input), [{ city: 'a' }]);
    });

    test('typed output after a tool', async () => {
      const result = await generateText({
        ...asked,
        tools: { get_weather: { ...weather, execute: async () => '[[say:{"warm": true}]]' } },
        output: Output.object({ schema: z.object({ warm: z.boolean() }) }),
        stopWhen: isStepCount(3),
        // As the model writes calls where it is held to a schema.
        prompt: '[[say:[{"name": "get_weather", "parameters": {"city": "Paris"}}] ]]',
      });
      assert.deepEqual(result.steps[0].toolCalls.map(({ input }) => input), [{ city: 'Paris' }]);
      assert.deepEqual([result.output, result.steps.length], [{ warm: true }, 2]);
    });

    test('an agent', async () => {
      const agent = new ToolLoopAgent({ ...asked, tools, instructions: 'Be kind.' });
      const { text, steps } = await agent.generate({ prompt: written('Paris') });
      assert.deepEqual([text, steps.length], ['It is warm in Paris.', 2]);
      const streamed = await agent.stream({ prompt: written('Rome') });
      assert.equal((await all(streamed.textStream)).join(''), 'Let me see.It is warm in Rome.');
    });

    for (const toolChoice of ['required', { type: 'tool', toolName: 'get_weather' }]) {
      for (const strict of [undefined, true]) {
        const name = `a tool that must be called: ${toolChoice.toolName ?? toolChoice}${strict ? ', strict' : ''}`;
        // Strict schemas require all their members.
        const inputSchema = strict ? z.object({ city: z.string() }) : weather.inputSchema;
        const forced = {
          ...asked,
          tools: { get_weather: { ...weather, strict, inputSchema } },
          toolChoice,
          prompt: 'Is it warm?',
        };

        test(name, async () => {
          const { toolCalls, toolResults, text, finishReason } = await generateText(forced);
          assert.deepEqual(toolCalls.map(({ input }) => input), [{ city: 'a' }]);
          assert.equal(toolResults.length, 1);
          const named = toolChoice.toolName && !speaksOfResponses;
          assert.deepEqual([text, finishReason], ['', named ? 'stop' : 'tool-calls']);
        });

        test(`${name}, streamed`, async () => {
          const result = streamText(forced);
          assert.deepEqual((await result.toolCalls).map(({ input }) => input), [{ city: 'a' }]);
          assert.equal(await result.text, '');
        });
      }
    }

    test('a tool that may not be called', async () => {
      const { toolCalls, text } = await generateText({ ...asked, tools, toolChoice: 'none', prompt: written('Paris') });
      assert.deepEqual(toolCalls, []);
      assert.match(text, /<tool_call>/);
    });

    test('errors', async () => {
      const long = await failure(generateText({ ...asked, prompt: 'word '.repeat(20_000) }));
      assert.ok(APICallError.isInstance(long));
      assert.deepEqual([long.statusCode, long.isRetryable], [400, false]);
      assert.match(long.message, speaksOfResponses ? /exceeds the context window/ : /maximum context length/);
      assert.equal(long.data.error.code, 'context_length_exceeded');
      const failed = await failure(generateText({ ...asked, prompt: '[[fault:internal]]' }));
      assert.deepEqual([failed.statusCode, failed.isRetryable], [500, true]);
      const suspended = { ...asked, model: providers(AGENT, SUSPENDED_KEY)[provider], prompt: 'x' };
      assert.equal((await failure(generateText(suspended))).statusCode, 429);
    });

    test('an error in a stream', async () => {
      const errors = [];
      const prompt = '[[tokens=9]][[fault:die_after=3]]';
      const result = streamText({ ...asked, prompt, onError: ({ error }) => errors.push(error) });
      const parts = await all(result.fullStream);
      assert.ok(parts.some(({ type }) => type === 'text-delta'));
      assert.equal(errors.length, 1);
    });
  });
}

test('reasoning is told apart', async () => {
  // The provider for OpenAI itself knows no field for it.
  const model = providers(AGENT)['openai-compatible'];
  const prompt = '[[say:<think>It is summer.</think>It is warm.]]';
  const whole = await generateText({ model, maxRetries: 0, prompt });
  assert.deepEqual([whole.reasoningText, whole.text], ['It is summer.', 'It is warm.']);
  const streamed = streamText({ model, maxRetries: 0, prompt });
  assert.deepEqual([await streamed.reasoningText, await streamed.text], ['It is summer.', 'It is warm.']);
});

test('embeddings', async () => {
  const provider = createOpenAICompatible({ name: 'cloudach', baseURL: BASE_URL, apiKey: process.env.CLOUDACH_API_KEY });
  const model = provider.embeddingModel(EMBEDDING);
  const { embeddings, usage } = await embedMany({ model, values: ['a cat', 'a dog'], maxRetries: 0 });
  assert.deepEqual(embeddings.map(({ length }) => length), [384, 384]);
  assert.ok(usage.tokens > 0);
});
