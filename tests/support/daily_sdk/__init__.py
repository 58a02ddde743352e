"""A stand-in for ``daily-python``.

With this folder first on its ``PYTHONPATH`` a child process imports it as ``daily``;
``tests.support.daily_cloud`` is the other end of its strings.
"""
