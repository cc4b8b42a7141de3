/** The server as a whole: what it takes, whether it answers, whether it wants a key. */

import { AccountError } from "../account/account-api";
import { ApiError, type Api } from "../api/api";
import type { State } from "./state";
import type { Store } from "../base/store";

const RETRY = 2500; // milliseconds between two looks for a server that is away
const NONE = "none"; // a job that there is not
const READ = 10_000; // milliseconds that what could not be done is told for, however soon it has passed

export class Host {
  private unanswered = ""; // what was said because the server did not answer
  private said = 0; // unix milliseconds: when

  constructor(private readonly api: Api, private readonly store: Store<State>) {}

  /** Asks what it takes; returns whether it answers at all. */
  async ask(): Promise<boolean> {
    try {
      const config = await this.api.config();
      this.store.update({
        limit: config.max_file_size_mb,
        formats: config.supported_formats,
        demo: config.demo ?? false,
        retention: config.retention_hours ?? 0,
      });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (nobody(error)) {
        this.lost();
        return false;
      }
    }
    this.found(); // it answers, whatever it says
    return true;
  }

  /** Why the server does not let the key in; null where it does, or does not say. */
  async refusal(): Promise<string | null> {
    try {
      await this.api.job(NONE);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401 || error.status === 403) return error.message;
    }
    return null;
  }

  /** It did not answer: asks until it does. */
  lost(): void {
    if (this.store.value.away) return;
    this.store.update({ away: Date.now() });
    const again = (): void => {
      void this.ask().then((here) => here || setTimeout(again, RETRY));
    };
    setTimeout(again, RETRY);
  }

  /** It has answered: what was said of its not doing so goes, once it could be read. */
  found(): void {
    const { away, notice } = this.store.value;
    if (!away) return;
    this.store.update({ away: 0 });
    if (notice === "" || notice !== this.unanswered) return;
    const overtaken = (): void => {
      if (this.store.value.notice === notice) this.store.update({ notice: "" });
    };
    setTimeout(overtaken, this.said + READ - Date.now());
  }

  /** Says what could not be done, and sees to what that tells of the server. */
  complain(error: ApiError, notice: string): void {
    const locked = error.status === 401 && !(error instanceof AccountError);
    this.store.update({ notice, ...(locked && { locked }) });
    if (error.status !== 0) return;
    this.unanswered = notice;
    this.said = Date.now();
    this.lost();
  }
}

/** Whether the server is away: a proxy before it answers 502 to 504 in its place. */
function nobody(error: ApiError): boolean {
  return error.status === 0 || (error.status >= 502 && error.status <= 504);
}
