"""Runs queries as asyncpg does, everything in binary format, and prints what came as JSON. Log-in from the PG* variables."""

import asyncio
import io
import json

import asyncpg


async def main() -> None:
    con = await asyncpg.connect()
    out = {}
    row = await con.fetchrow("select * from typed")
    out["typed"] = {
        name: {"type": type(value).__name__, "value": value if isinstance(value, (int, str, type(None))) else str(value)}
        for name, value in row.items()
    }
    statement = await con.prepare("select id, pan, cvv from cards where id = $1")
    out["prepared"] = [list(await statement.fetchrow(i)) for i in (1, 2)]
    out["attributes"] = [attribute.name for attribute in statement.get_attributes()]
    assert await con.fetchval("select $1::int || $2::text", 41, "hello") == "41hello"
    async with con.transaction():
        seen = 0
        async for card in con.cursor("select id, pan from cards order by id", prefetch=7):
            assert card["pan"].startswith("********"), card
            seen += 1
        out["cursor"] = seen
    sink = io.BytesIO()
    await con.copy_from_query("select id, pan from cards order by id", output=sink, format="binary")
    data = sink.getvalue()
    out["copied"] = data.startswith(b"PGCOPY\n\xff\r\n\0") and len(data) > 19 + seen * 10 and data.endswith(b"\xff\xff")
    try:
        await con.execute("drop table cards")
    except asyncpg.PostgresError as error:
        out["denied"] = [error.sqlstate, error.hint is not None]
    out["after"] = await con.fetchval("select 1")
    await con.close()
    print(json.dumps(out))


asyncio.run(main())
