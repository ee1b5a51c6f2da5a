"""What these tests know of the gateway that tests/sdk/run.sh starts."""

import os

BASE_URL = os.environ.get("CLOUDACH_BASE_URL", "")
KEY = os.environ.get("CLOUDACH_API_KEY", "")
CHAT = os.environ.get("CLOUDACH_MODEL", "")
EMBEDDING = os.environ.get("CLOUDACH_EMBEDDING_MODEL", "")

# In front of a fake engine only: its template shows tools, and its calls are read.
AGENT = "sdk-agent"


def say(text):
    """A prompt that a fake engine answers with this text."""
    return f"[[say:{text}]]"


def calling(name, arguments):
    """A prompt that a fake engine answers with a call, which a model writes like this."""
    return say(f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>')
