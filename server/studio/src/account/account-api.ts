/** The StemSplit API as the page calls it: everything that is asked for with an account's key. */

import { ApiError, carried, errorText, jsonOf, waitOf } from "../api/api";
import type { Options } from "./split-choice";
import { LONGEST_WAIT, pause } from "../api/waiting";

export type JobStatus = "PENDING" | "PROCESSING" | "COMPLETED" | "FAILED" | "EXPIRED";
export const STATUSES: JobStatus[] = ["PENDING", "PROCESSING", "COMPLETED", "FAILED", "EXPIRED"];

export interface Balance {
  balanceSeconds: number;
}

export interface Pagination {
  total: number;
  limit: number;
  offset: number;
  hasMore: boolean;
}

export interface JobItem {
  id: string;
  status: JobStatus;
  progress: number;
  createdAt: string;
  input: { fileName: string; durationSeconds: number };
  options: Options;
  creditsCharged: number;
  errorMessage: string | null;
}

export interface LedgerEntry {
  kind: "GRANT" | "HOLD" | "CAPTURE" | "RELEASE" | "REFUND";
  seconds: number;
  balanceSeconds: number;
  jobId: string | null;
  createdAt: string;
}

export interface Webhook {
  id: string;
  url: string;
  events: string[];
  isActive: boolean;
  failCount: number;
  lastError: string | null;
  lastCalledAt: string | null;
}

export interface Attempt {
  number: number;
  startedAt: string;
  durationMs: number;
  statusCode: number | null;
  error: string | null;
}

export interface Delivery {
  id: string;
  webhookId: string | null;
  jobId: string | null;
  url: string;
  event: string;
  isTest: boolean;
  state: "WAITING" | "DELIVERED" | "GIVEN_UP";
  attempts: Attempt[];
  lastError: string | null;
  nextAttemptAt: string | null;
  createdAt: string;
}

export interface Page<T> {
  items: T[];
  pagination: Pagination;
}

/** An error of this API, with its code; credits are told where there are too few. */
export class AccountError extends ApiError {
  constructor(
    status: number, message: string, wait: number, readonly code: string,
    readonly requiredSeconds = 0, readonly purchaseUrl = "",
  ) {
    super(status, message, wait);
  }
}

export const PAGE = 10;
const AGAIN = [1.5, 3, 6]; // seconds until a request whose answer was lost is sent once more
const BASE = "api/v1/";

export class AccountApi {
  /** Kept in this tab alone. */
  key = "";

  balance(): Promise<Balance> {
    return this.json<Balance>("balance");
  }

  async jobs(status: JobStatus | "", offset: number): Promise<Page<JobItem>> {
    const query = page(offset);
    if (status !== "") query.set("status", status);
    const { jobs, pagination } = await this.json<{ jobs: JobItem[]; pagination: Pagination }>(`jobs?${query}`);
    return { items: jobs, pagination };
  }

  async ledger(offset: number): Promise<Page<LedgerEntry>> {
    const { entries, pagination } = await this.json<{ entries: LedgerEntry[]; pagination: Pagination }>(
      `ledger?${page(offset)}`);
    return { items: entries, pagination };
  }

  async webhooks(): Promise<Webhook[]> {
    return (await this.json<{ webhooks: Webhook[] }>("webhooks")).webhooks;
  }

  async deliveries(webhook: string, offset: number): Promise<Page<Delivery>> {
    const query = page(offset);
    if (webhook !== "") query.set("webhookId", webhook);
    const { deliveries, pagination } = await this.json<{ deliveries: Delivery[]; pagination: Pagination }>(
      `deliveries?${query}`);
    return { items: deliveries, pagination };
  }

  test(webhook: string): Promise<Delivery> {
    return this.post<Delivery>(`webhooks/${encodeURIComponent(webhook)}/test`);
  }

  resend(delivery: string): Promise<Delivery> {
    return this.post<Delivery>(`deliveries/${encodeURIComponent(delivery)}/resend`);
  }

  /**
   * Does something once, even if its answer is lost and it is asked for again. Whoever asks anew
   * for the same thing gives the same `once`. `signal` ends the waiting: then it is asked for once
   * more at once, since what was done must be known to be undone.
   */
  async post<T>(path: string, body?: unknown, once = random(), signal?: AbortSignal): Promise<T> {
    const init: RequestInit = { method: "POST", headers: { "idempotency-key": once } };
    if (body !== undefined) init.body = JSON.stringify(body);
    for (const seconds of AGAIN) {
      try {
        return await this.json<T>(path, init);
      } catch (error) {
        if (!(error instanceof ApiError) || !lost(error)) throw error;
        await pause(1000 * Math.max(seconds, error.wait), signal).catch(() => undefined);
        if (signal?.aborted) break;
      }
    }
    return this.json<T>(path, init);
  }

  async json<T>(path: string, init: RequestInit = {}): Promise<T> {
    return jsonOf<T>(await this.ask(path, init));
  }

  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${carried(this.key)}`);
    return fetched(BASE + path, { ...init, headers });
  }
}

/** An address that the server has signed, as the page may call it: below the page's own. */
export function own(url: string): string {
  const { pathname, search } = new URL(url, location.href);
  return pathname.slice(pathname.indexOf(`/${BASE}`) + 1) + search;
}

/** An answer that is none of an error. Throws AccountError and, where none came, ApiError. */
export async function fetched(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer.");
  }
  if (answer.ok) return answer;
  throw errorOf(answer.status, await errorText(answer), waitOf(answer.headers.get("retry-after")));
}

/** Whether nobody knows what became of a request. */
function lost({ status, wait }: ApiError): boolean {
  return wait <= LONGEST_WAIT && (status === 0 || status === 502 || status === 504);
}

export function errorOf(status: number, body: string, wait = 0): AccountError {
  let told: { code?: string; message?: string; requiredSeconds?: number; purchaseUrl?: string } = {};
  try {
    told = (JSON.parse(body) as { error?: typeof told }).error ?? {};
  } catch {
    // a proxy's page
  }
  const message = told.message ?? `The server answered with status ${status}.`;
  return new AccountError(status, message, wait, told.code ?? "", told.requiredSeconds, told.purchaseUrl);
}

function page(offset: number): URLSearchParams {
  return new URLSearchParams({ limit: String(PAGE), offset: String(offset) });
}

/** 128 random bits; `crypto.randomUUID` is missing on plain HTTP. */
export function random(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
