// What the tests of Vercel's AI SDK share: its two providers for a server like OpenAI's, as models of the gateway.

import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';

import { BASE_URL } from './gateway.mjs';

// Its warnings are about what a provider leaves out; the tests look at them in the results.
globalThis.AI_SDK_LOG_WARNINGS = false;

/** The same model by each provider. The first may be told what the server can do, the second takes it for OpenAI's. */
export function providers(name, apiKey = process.env.CLOUDACH_API_KEY) {
  const compatible = { name: 'cloudach', baseURL: BASE_URL, apiKey, includeUsage: true, supportsStructuredOutputs: true };
  return {
    'openai-compatible': createOpenAICompatible(compatible)(name),
    openai: createOpenAI({ baseURL: BASE_URL, apiKey }).chat(name),
    // What it does unless it is told: it speaks of responses.
    'openai, by default': createOpenAI({ baseURL: BASE_URL, apiKey })(name),
  };
}
