"""The stores: memory and SQLite, and what both need of asyncio."""
