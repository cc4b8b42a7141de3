/** Tells people who do not see the page how the songs get on, sparingly: each ten percent. */

import { say } from "../base/dom";
import { phaseOf, type Song } from "../songs/state";
import { adviceOf, progressOf, statusOf } from "../songs/status";

export class Announcer {
  private readonly said = new Map<string, string>();

  constructor(private readonly region: HTMLElement) {}

  /** These songs have changed. */
  update(songs: Song[], retention: number): void {
    for (const song of songs) {
      const phase = phaseOf(song);
      const tenth = Math.floor(10 * (progressOf(song) ?? 1));
      const step = `${phase} ${tenth}`;
      const before = this.said.get(song.key);
      this.said.set(song.key, step);
      if (before === undefined || before === step || phase === "loading") continue;
      say(this.region, `${song.name || "Song"}: ${adviceOf(song, retention) || statusOf(song, Date.now())}`);
    }
  }
}
