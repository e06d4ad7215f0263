"""What sends: requests with their repeats, sessions by event loop, and workarounds of aiohttp.

Nothing is imported here: `messages` and `authorization` do without aiohttp, which is most of what
there is to import.
"""
