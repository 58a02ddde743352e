"""Avatar Bridge: streams the speech of any text-to-speech into a Tavus avatar."""

__version__ = "0.1.0"
