"""Says how a server differs from the real OpenAI API by the shape of what it sends. `README.md` is the way in."""
