/** Sends a body and tells of each piece; `fetch` tells nothing of what has been sent. */

import { ApiError, Unanswered, waitOf } from "./api";

const CUT_OFF = "The connection was lost while sending.";

export interface Sent {
  status: number;
  body: string;
  /** Seconds that the answer tells to wait. */
  wait: number;
}

/**
 * `most`: of the bytes that are told of. `signal` takes it back, until all has been sent: then the
 * server may have made something of it, and only its answer tells what there is to take back.
 */
export function send(
  method: string, url: string, body: XMLHttpRequestBodyInit, headers: Record<string, string>,
  most: number, sent: (bytes: number) => void, signal: AbortSignal,
): Promise<Sent> {
  const request = new XMLHttpRequest();
  request.open(method, url);
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  let whole = false;
  request.upload.onload = () => (whole = true);
  request.upload.onprogress = (event) => sent(Math.min(event.loaded, most));
  return new Promise((resolve, reject) => {
    const cancelled = (): void => reject(new DOMException("cancelled", "AbortError"));
    if (signal.aborted) return cancelled();
    signal.addEventListener("abort", () => whole || request.abort());
    request.onload = () => resolve({ status: request.status, body: request.responseText,
      wait: waitOf(request.getResponseHeader("retry-after")) });
    request.onerror = () => reject(whole ? new Unanswered() : new ApiError(0, CUT_OFF));
    request.onabort = cancelled;
    request.send(body);
  });
}
