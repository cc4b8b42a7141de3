/** When a request is worth sending once more, and the time until then. */

import type { ApiError } from "./api";

export const LONGEST_WAIT = 60; // seconds; whom the server tells to wait for longer hears why

/** Whether the server takes no more for now: no refusal of what was sent, and it says until when. */
export function full({ status, wait }: ApiError): boolean {
  return wait > 0 && (status === 429 || (status === 503 && wait <= LONGEST_WAIT));
}

/** Throws an AbortError as soon as `signal` is aborted, and at once where it was before. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("cancelled", "AbortError"));
    });
  });
}
