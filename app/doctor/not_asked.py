"""What a live test through the service cannot settle, and why."""

from __future__ import annotations

NOT_ASKED: tuple[tuple[str, str], ...] = (
    (
        "How large may an app message be?",
        "The service refuses to send more than the documented 4096 bytes, on purpose.",
    ),
    (
        "Which sample rates besides 16000 and 24000 does an audio echo take?",
        "The service always sends 24000 and does not pass audio echoes of clients on.",
    ),
    (
        "What are Tavus's rate limits, and what does a 429 say?",
        "To meet them would mean to hammer a paid API; a 429 that comes by itself is reported.",
    ),
    (
        "How does Tavus repeat a webhook that failed?",
        "It needs a public address that fails on purpose, which a test should not open.",
    ),
    (
        "How does a room behave when its network is cut for seconds or minutes?",
        "Pull the plug yourself while `avatar-bridge speak` runs, and look at its positions.",
    ),
    (
        "What does swapping the custom track on air do?",
        "The service never does it: one track lasts as long as its session.",
    ),
    (
        "Is a track published that was added before the join?",
        "The service fixes the order; that the track is heard at all is asked above.",
    ),
    (
        "Which thread delivers video?",
        "It is hidden in the room worker, which hands everything to its loop.",
    ),
    (
        "What does a joined client cost in processor time, threads and memory?",
        "Look at the room workers during a session: `ps -o pid,nlwp,rss,pcpu --ppid <serve>`.",
    ),
    (
        "How long does releasing a client take during a call?",
        "It happens in the room worker after the session has ended for its clients.",
    ),
)
"""Question and reason."""
