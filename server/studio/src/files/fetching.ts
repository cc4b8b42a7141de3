/** Brings in a file that a link alone does not get, and says how far it is. */

import type { AllSongs } from "../songs/all-songs";
import { ApiError, type FileHere } from "../api/api";
import { megabytes } from "../base/format";
import type { Host } from "../songs/host";
import type { State } from "../songs/state";
import type { Store } from "../base/store";

const STEP = 10e6; // bytes between two words on a file whose size nobody told

export class Fetching {
  constructor(
    private readonly api: AllSongs, private readonly store: Store<State>, private readonly host: Host,
  ) {}

  /** `part` hears how much of it is here, from 0 to 1. Null where it cannot be had: the page says why. */
  async file(url: string, part: (part: number) => void): Promise<FileHere | null> {
    let said = "";
    try {
      return await this.api.file(url, (bytes, total) => {
        const known = total > 0 && bytes <= total;
        part(known ? bytes / total : 1);
        const step = Math.floor(known ? (10 * bytes) / total : bytes / STEP);
        const words = known ? `Fetching ${megabytes(total)}: ${10 * step} %.`
          : `Fetching: ${megabytes(step * STEP)} so far.`;
        if (words !== said) this.store.update({ notice: said = words });
      });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.host.complain(error, `The file could not be downloaded. ${error.message}`);
      return null;
    } finally {
      if (said !== "" && this.store.value.notice === said) this.store.update({ notice: "" });
    }
  }
}
