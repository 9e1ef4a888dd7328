"""How wrong a session's idea of the server's clock is: processes with clocks that are off, and links made up.

From the ground up: `skew` (a clock that is off), `messages`, `cristian` (what a sync was before), `virtual` (the real
filter, the rest made up), `worker` (a process: the server or a session), `figures`.
"""
