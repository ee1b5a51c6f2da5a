"""What the tests of LangChain share: its client of the gateway, and one tool."""

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from gateway import BASE_URL, KEY


def chat(model, **options):
    """A client that does not retry: what fails once is to be seen. Usage in streams is off unless asked for."""
    defaults = {"base_url": BASE_URL, "api_key": KEY, "max_retries": 0, "timeout": 30}
    return ChatOpenAI(model=model, **{**defaults, **options})


@tool
def get_weather(city: str, days: int = 1) -> str:
    """Tells the weather."""
    # A fake engine obeys it once it is in the prompt.
    return f"[[say:It is warm in {city} for {days} days.]]"


def accumulated(chunks):
    """One message of all chunks, as LangChain adds them up."""
    first, *others = chunks
    return sum(others, first)
