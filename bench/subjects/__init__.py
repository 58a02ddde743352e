"""What is measured: each a process with a WebSocket for every session and a sink inside."""
