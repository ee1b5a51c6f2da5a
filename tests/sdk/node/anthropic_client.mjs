// Anthropic's client on the gateway: its base URL is without `/v1`.

import Anthropic from '@anthropic-ai/sdk';

import { BASE_URL } from './gateway.mjs';

/** A client. It does not retry unless told to: what fails once is to be seen. */
export const connect = (options = {}) =>
  new Anthropic({
    baseURL: BASE_URL.replace(/\/v1$/, ''),
    apiKey: process.env.CLOUDACH_API_KEY,
    maxRetries: 0,
    timeout: 30_000,
    ...options,
  });

export const texts = (message) => message.content.filter(({ type }) => type === 'text').map(({ text }) => text);
