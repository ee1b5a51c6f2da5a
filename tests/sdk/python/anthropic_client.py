"""Anthropic's client on the gateway: its base URL is without `/v1`."""

import anthropic

import gateway

BASE_URL = gateway.BASE_URL.removesuffix("/v1")


def connect(**options):
    """A client. It does not retry unless told to: what fails once is to be seen."""
    return anthropic.Anthropic(**{"base_url": BASE_URL, "api_key": gateway.KEY, "max_retries": 0, "timeout": 30} | options)


def texts(message):
    return [block.text for block in message.content if block.type == "text"]
