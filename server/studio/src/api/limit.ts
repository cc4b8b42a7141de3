/** Until when the server takes no more requests. What asks it again and again waits for that. */

import { ApiError } from "./api";
import { full, pause } from "./waiting";

const APART = 3000; // milliseconds between requests that can wait, while sound is played on few

export class Limit {
  private until = 0; // of performance.now()
  private reached = false;
  private next = 0;

  /** Milliseconds until it takes some again; 0: it does. */
  get left(): number {
    return Math.max(0, this.until - performance.now());
  }

  /** A request was answered with this error. */
  hear(error: unknown): void {
    if (!(error instanceof ApiError) || !full(error)) return;
    this.reached ||= error.status === 429;
    this.until = Math.max(this.until, performance.now() + 1000 * error.wait);
  }

  /** Returns when it takes requests. Throws an AbortError as soon as `signal` is aborted. */
  async over(signal: AbortSignal): Promise<void> {
    while (this.left > 0) await pause(this.left, signal);
  }

  /** As `over`, for what can wait: where requests are few, sound goes first. */
  async spare(signal: AbortSignal, playing: () => boolean): Promise<void> {
    for (;;) {
      await this.over(signal);
      const wait = this.reached && playing() ? this.next - performance.now() : 0;
      if (wait <= 0) break;
      await pause(wait, signal);
    }
    this.next = performance.now() + APART;
  }
}
