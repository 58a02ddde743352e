"""The benchmark: the service beside floors built from the same libraries, and beside a peer.

::

    orchestrator ──commands──▶ subject (one core): service + sink in its process ──▶ record (a file)
         │                        ▲ WebSockets, PCM in real time                        │
         └──────commands──▶ generator (the other core) ──▶ when each packet was sent ──▶ delays

``python -m bench`` measures and writes ``bench/results``. Ratios of one run are its result:
absolute times belong to the machine. Every room is replaced by a sink that costs
nothing, so capacity here is the overhead of the service alone; with a live room the room's SDK sets
the limit.
"""
