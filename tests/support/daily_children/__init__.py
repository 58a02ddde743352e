"""What is tried on the SDK, real or fake, in a child process that it may take down.

Run as ``python -m tests.support.daily_children NAME [ARGUMENTS]``; the last line of standard output
is the finding, as JSON.
"""
