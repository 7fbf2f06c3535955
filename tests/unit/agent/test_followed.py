"""What is kept as wanted: carried out once, tried again when something else is wanted."""

import asyncio

from skytrail.agent.io.followed import Followed


def test_what_fails_is_told_until_it_is_carried_out():
    async def scenario():
        done = []

        def carry_out(wanted):
            done.append(wanted)
            if wanted == "bad":
                raise OSError("the kernel says no")

        followed = Followed[str]("marks", carry_out)
        task = asyncio.create_task(followed.run())

        async def until(expected, problem):
            async with asyncio.timeout(5):
                while done != expected or followed.problem != problem:  # noqa: ASYNC110 - nothing tells of a change
                    await asyncio.sleep(0.01)

        try:
            followed.follow("bad")
            await until(["bad"], "the kernel says no")
            followed.follow("good")
            await until(["bad", "good"], "")
            followed.follow("good")
            followed.follow("better")
            await until(["bad", "good", "better"], "")
        finally:
            task.cancel()

    asyncio.run(scenario())
