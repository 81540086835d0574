"""Delivers queued webhooks: signed, in order per subscription and resource, retried, dropped, disabled."""

import asyncio
import hashlib
import hmac
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from sandbox.pagerduty import delivery_queue
from sandbox.pagerduty.shapes import Doc
from sandbox.pagerduty.state import PagerDutyState

KEEP_TRYING_SECONDS = 48 * 3600
DROPS_BEFORE_DISABLING = 3
MAX_BYTES = 256 * 1024


@asynccontextmanager
async def running(state: PagerDutyState) -> AsyncIterator[None]:
    """Deliver in the background until the block ends."""
    task = asyncio.create_task(_deliver_forever(state))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _deliver_forever(state: PagerDutyState) -> None:
    loop = asyncio.get_running_loop()
    queued = asyncio.Event()
    queued.set()

    def waker() -> None:
        loop.call_soon_threadsafe(queued.set)

    state.on_change(waker)
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                queued.clear()
                wait = await _deliver_due(state, client)
                try:
                    await asyncio.wait_for(queued.wait(), wait)
                except TimeoutError:
                    continue
    finally:
        state.forget_waker(waker)


async def _deliver_due(state: PagerDutyState, client: httpx.AsyncClient) -> float | None:
    """Send everything due; seconds until the next attempt, None when nothing waits."""
    while True:
        heads = _heads(state)
        now = state.clock().timestamp()
        due = [row for row in heads if row["due_at"] <= now]
        if not due:
            return max(0.01, min(row["due_at"] for row in heads) - now) if heads else None
        await asyncio.gather(*(_deliver(state, client, row) for row in due))


def _heads(state: PagerDutyState) -> list[sqlite3.Row]:
    """The oldest waiting delivery of each subscription and resource: the others wait for it."""
    return state.store.rows(
        "SELECT * FROM deliveries WHERE seq IN (SELECT MIN(seq) FROM deliveries"
        " WHERE state = 'waiting' GROUP BY subscription_id, resource_id)"
    )


def signature(secret: str, body: bytes) -> str:
    """`v1=` and the hex HMAC-SHA256 of the raw body."""
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def _deliver(state: PagerDutyState, client: httpx.AsyncClient, row: sqlite3.Row) -> None:
    subscription = state.store.get("webhook_subscription", row["subscription_id"])
    body = str(row["body"]).encode()
    if subscription is None or len(body) > MAX_BYTES:
        _finish(state, row, "dropped", "too large" if subscription else "subscription is gone")
        return
    method = subscription["delivery_method"]
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "PagerDuty-Webhook/V3.0",
        "X-PagerDuty-Signature": signature(method["secret"], body),
        "X-Webhook-Id": row["webhook_id"],
        "X-Webhook-Subscription": subscription["id"],
        **{header["name"]: str(header["value"]) for header in method["custom_headers"]},
    }
    try:
        response = await client.post(
            method["url"], content=body, headers=headers, timeout=state.webhook_timeout_seconds
        )
    except httpx.TransportError as error:
        _later(state, row, type(error).__name__)
        return
    answer = str(response.status_code)
    if response.is_success:
        _finish(state, row, "delivered", answer)
        _count_drops(state, subscription, None)
    elif response.status_code == 429 or response.status_code >= 500:
        _later(state, row, answer)
    else:
        _finish(state, row, "dropped", answer)
        _count_drops(state, subscription, row)


def _finish(state: PagerDutyState, row: sqlite3.Row, outcome: str, answer: str) -> None:
    state.store.execute(
        "UPDATE deliveries SET state = ?, answer = ?, attempts = attempts + 1 WHERE seq = ?",
        (outcome, answer, row["seq"]),
    )


def _later(state: PagerDutyState, row: sqlite3.Row, answer: str) -> None:
    now = state.clock().timestamp()
    if now - row["created_at"] > KEEP_TRYING_SECONDS:
        _finish(state, row, "dropped", answer)
        return
    wait = state.webhook_retry_seconds * 2 ** min(row["attempts"], 10)
    state.store.execute(
        "UPDATE deliveries SET attempts = attempts + 1, answer = ?, due_at = ? WHERE seq = ?",
        (answer, now + wait, row["seq"]),
    )


def _count_drops(state: PagerDutyState, subscription: Doc, dropped: Any) -> None:
    """Three drops in a row disable the subscription and throw its queue away."""
    with state.transaction():
        name = f"drops:{subscription['id']}"
        drops = int(state.store.meta(name) or 0) + 1 if dropped is not None else 0
        state.store.set_meta(name, str(drops))
        if drops < DROPS_BEFORE_DISABLING:
            return
        state.store.set_meta(name, "0")
        delivery_queue.disable(state, subscription)


def deliveries(state: PagerDutyState) -> list[Doc]:
    """Every delivery so far, oldest first: subscription, state, attempts, last answer, body."""
    return [dict(row) for row in state.store.rows("SELECT * FROM deliveries ORDER BY seq")]
