"""The part of the StemSplit API's document that tells of credits and deliveries."""

from typing import Any

from server.api.v1.document_parts import idempotency_key, in_path, operation, paging
from server.config import Config


def paths(config: Config) -> dict[str, Any]:
    """The paths, as `AccountRoutes` has them."""
    return {
        "/balance": {"get": operation("getBalance", "Account", {200: "BalanceResponse"})},
        "/ledger": {"get": _ledger()},
        "/deliveries": {"get": _list_deliveries(config.jobs.deliveries_days)},
        "/deliveries/{id}/resend": {"parameters": in_path("id"), "post": _resend()},
        "/webhooks/{id}/test": {"parameters": in_path("id"), "post": _test()},
    }


def _ledger() -> dict[str, Any]:
    return operation("listLedger", "Account", {200: "LedgerResponse"}, 400) | {
        "description": "Every change of the balance, the newest first. It is only ever added to.",
        "parameters": paging(),
    }


def _list_deliveries(days: float) -> dict[str, Any]:
    webhook = {"name": "webhookId", "in": "query", "schema": {"type": "string"},
               "description": "Of this webhook alone"}  # fmt: skip
    listed = operation("listDeliveries", "Webhooks", {200: "DeliveriesListResponse"}, 400, 404)
    return listed | {
        "description": "What was sent to the account's webhooks and to the `callbackUrl`s of its "
        "jobs, and what waits to be sent, the newest first. What is over is kept for "
        f"{days:g} day{'s' * (days != 1)}.",
        "parameters": [*paging(), webhook],
    }


def _resend() -> dict[str, Any]:
    again = operation("resendDelivery", "Webhooks", {202: "DeliveryItem"}, 400, 404,
                      conflicts=["IDEMPOTENCY_CONFLICT", "ALREADY_DELIVERED"])  # fmt: skip
    return again | {
        "description": "Sends an event that has not arrived at once, under its `X-Webhook-Id`, "
        "written and signed anew, and then by the whole schedule again. It goes out to a webhook "
        "that was switched off, too: once, and a 2xx switches that on again.",
        "parameters": [idempotency_key("the same delivery")],
    }


def _test() -> dict[str, Any]:
    tested = operation("testWebhook", "Webhooks", {202: "DeliveryItem"}, 400, 404,
                       conflicts=["IDEMPOTENCY_CONFLICT"])  # fmt: skip
    return tested | {
        "description": "Sends one signed event that the webhook listens to, of a job that never "
        "was: `data.metadata` is `{\"test\": true}`, and a completed one has no `outputs` in it. "
        "It is tried once, also where the webhook was switched off; a 2xx switches that on again, "
        "a failure does not count.",
        "parameters": [idempotency_key("the same webhook")],
    }
