"""The StemSplit API on the wire: its bodies as Structs in its own spellings, and how they are made.

Knows the jobs room's data and no HTTP. Times are ISO 8601 in UTC, durations whole seconds.
"""

from server.api.v1.wire.account import BalanceResponse, LedgerResponse, balance, ledger
from server.api.v1.wire.common import EVENTS, STATUSES, DeletedResponse, timestamp
from server.api.v1.wire.deliveries import (
    DeliveriesListResponse,
    DeliveryItem,
    deliveries,
    delivery,
)
from server.api.v1.wire.errors import ErrorDetail, ErrorResponse
from server.api.v1.wire.jobs import (
    DOWNLOAD_SECONDS,
    LISTENING,
    MEDIA_TYPES,
    STUDIO,
    JobCreatedResponse,
    JobDetailResponse,
    JobsListResponse,
    MintUrl,
    created,
    detail,
    jobs_list,
    media_type,
)
from server.api.v1.wire.models import ModelsListResponse, models_list
from server.api.v1.wire.requests import CreateJobRequest, CreateWebhookRequest, UploadRequest
from server.api.v1.wire.uploads import UploadedResponse, UploadResponse, instructions
from server.api.v1.wire.webhooks import (
    WebhookCreatedResponse,
    WebhookPayload,
    WebhooksListResponse,
    payload,
    test_payload,
    webhook_created,
    webhook_listed,
)

__all__ = [
    "DOWNLOAD_SECONDS", "EVENTS", "LISTENING", "MEDIA_TYPES", "STATUSES", "STUDIO",
    "BalanceResponse", "CreateJobRequest", "CreateWebhookRequest", "DeletedResponse",
    "DeliveriesListResponse", "DeliveryItem", "ErrorDetail", "ErrorResponse",
    "JobCreatedResponse", "JobDetailResponse", "JobsListResponse", "LedgerResponse", "MintUrl",
    "ModelsListResponse", "UploadRequest", "UploadResponse", "UploadedResponse",
    "WebhookCreatedResponse", "WebhookPayload", "WebhooksListResponse", "balance", "created",
    "deliveries", "delivery", "detail", "instructions", "jobs_list", "ledger", "media_type",
    "models_list", "payload", "test_payload", "timestamp", "webhook_created", "webhook_listed",
]  # fmt: skip
